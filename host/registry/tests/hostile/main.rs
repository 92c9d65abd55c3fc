//! What a registry may do wrong, by fault or by intent.

mod server;

use ilab_registry::{
    Artifact, Component, Digest, Interface, Registry, RegistryError, RegistryOptions, Store, push,
};
use server::{Reply, Request, Server};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const LIMIT: u64 = 1 << 20;

fn client() -> Registry {
    // No credentials of whoever runs the tests.
    let docker_config = Some("/nonexistent/config.json".into());
    Registry::new(RegistryOptions { docker_config, ..RegistryOptions::default() }).unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_owned()).unwrap();
    (folder, store)
}

/// The files of a store besides its folders.
fn files(folder: &tempfile::TempDir) -> usize {
    std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count()
}

/// A sound artifact whose component is these bytes: its manifest.
fn manifest(component: &[u8]) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/wasm","digest":"{}","size":{}}}]}}"#,
        Digest::of(b"{}"),
        Digest::of(component),
        component.len()
    )
    .into_bytes()
}

/// What a sound registry with that artifact answers; `None` for the component itself.
fn sound(request: &Request, component: &[u8]) -> Option<Reply> {
    let digest = Digest::of(component);
    Some(match () {
        () if request.is("GET", "/manifests/1") => Reply::new(200, manifest(component)),
        () if request.is("GET", Digest::of(b"{}").as_str()) => Reply::new(200, "{}"),
        () if request.path.contains(&format!("/blobs/{digest}")) => return None,
        () => Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
    })
}

async fn pull(server: &Server, store: &Store) -> Result<Artifact, RegistryError> {
    let registry = client();
    let artifact = Artifact::look_up(&registry, store, &server.reference(), LIMIT).await?;
    artifact.fetch(&registry, store, &|_, _| {}).await?;
    Ok(artifact)
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_taken_up_where_it_broke() {
    let component: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let bytes = component.clone();
    let server = Server::start(move |request| {
        sound(request, &bytes).unwrap_or_else(|| {
            let from = request.header("range").map_or(0, |range| {
                range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
            });
            let to = bytes.len().min(from + 150_000);
            let status = if from > 0 { 206 } else { 200 };
            Reply::new(status, &bytes[from..to]).promising((bytes.len() - from) as u64)
        })
    });
    let (_folder, store) = store();
    let artifact = pull(&server, &store).await.unwrap();
    assert_eq!(std::fs::read(store.path(&artifact.component)).unwrap(), component);
    let ranges: Vec<_> = server.seen().iter().filter_map(|r| Some(r.header("range")?.to_owned())).collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_is_read_from_the_beginning() {
    let component = vec![7; 300_000];
    let (bytes, tries) = (component.clone(), AtomicU32::new(0));
    let server = Server::start(move |request| {
        sound(request, &bytes).unwrap_or_else(|| {
            let cut = if tries.fetch_add(1, Ordering::Relaxed) == 0 { 1000 } else { bytes.len() };
            Reply::new(200, &bytes[..cut]).promising(bytes.len() as u64)
        })
    });
    let (_folder, store) = store();
    let artifact = pull(&server, &store).await.unwrap();
    assert_eq!(std::fs::read(store.path(&artifact.component)).unwrap(), component);
}

#[tokio::test]
async fn other_bytes_than_promised_leave_nothing_behind() {
    for wrong in [&b"compoNent"[..], b"component, and more", b"comp"] {
        let server = Server::start(move |request| {
            sound(request, b"component").unwrap_or_else(|| Reply::new(200, wrong))
        });
        let (folder, store) = store();
        let error = pull(&server, &store).await.unwrap_err();
        match wrong.len() {
            9 => assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}"),
            19 => assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}"),
            _ => assert!(error.is_passing(), "{error}"),
        }
        // The manifest and its configuration, which are what they are.
        assert_eq!(files(&folder), 2);
    }
}

#[tokio::test]
async fn a_manifest_that_never_ends_is_cut() {
    let server = Server::start(|_| Reply::new(200, vec![b' '; 1 << 16]).endless());
    let (folder, store) = store();
    let error = pull(&server, &store).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    assert_eq!(files(&folder), 0);
}

#[tokio::test]
async fn a_manifest_of_another_digest_is_refused() {
    let server = Server::start(|_| Reply::new(200, manifest(b"component")));
    let (folder, store) = store();
    let at = server.reference().at_digest(&Digest::of(b"another"));
    let error = Artifact::look_up(&client(), &store, &at, LIMIT).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}");
    let lying = Server::start(|_| {
        Reply::new(200, manifest(b"component"))
            .with(format!("Docker-Content-Digest: {}", Digest::of(b"another")))
    });
    let error = Artifact::look_up(&client(), &store, &lying.reference(), LIMIT).await.unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error}");
    assert_eq!(files(&folder), 0);
}

#[tokio::test]
async fn what_is_larger_than_allowed_is_not_even_asked_for() {
    let server =
        Server::start(|request| sound(request, &[0; 64]).unwrap_or_else(|| Reply::new(200, [0; 64])));
    let (_folder, store) = store();
    let error = Artifact::look_up(&client(), &store, &server.reference(), 63).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { size: 64, limit: 63, .. }), "{error}");
    assert!(!server.seen().iter().any(|r| r.path.contains("/blobs/")));
}

#[tokio::test]
async fn passing_errors_are_tried_again_as_the_registry_asks_and_others_are_not() {
    let tries = AtomicU32::new(0);
    let server = Server::start(move |request| match tries.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::new(503, "").with("Retry-After: 1"),
        1 => Reply::new(429, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#),
        _ => sound(request, b"component").unwrap_or_else(|| Reply::new(200, "component")),
    });
    let (_folder, store) = store();
    let begun = Instant::now();
    pull(&server, &store).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    for (status, body) in [(403, "no"), (404, ""), (400, "what?"), (401, ""), (418, "a\u{1b}[2Jteapot")] {
        let server = Server::start(move |_| Reply::new(status, body));
        let error = client().manifest(&server.reference()).await.unwrap_err();
        assert!(!error.is_passing(), "{error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
        assert_eq!(server.seen().iter().filter(|r| r.path.contains("/manifests/")).count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_registry_without_artifacts_is_told_as_such() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "POST" => Reply::new(202, "").with("Location: /v2/team/stage/blobs/uploads/1?state=x"),
        "PUT" if request.path.contains("/uploads/") => Reply::new(201, ""),
        _ => Reply::new(400, r#"{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}"#),
    });
    let component = Component {
        bytes: "component".into(),
        interface: Interface::default(),
        annotations: Default::default(),
        created: "1970-01-01T00:00:00Z".into(),
    };
    let error = push(&client(), &server.reference(), &component).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::MediaTypeRefused { said, .. } if said.contains("unknown media type"))
    );
    assert!(error.hint().contains("plugin save"));
    let put = server.seen().into_iter().find(|r| r.method == "PUT").unwrap();
    assert!(put.path.contains("state=x&digest=sha256%3A"), "{}", put.path);
}

/// A registry that wants a token, and where the token server is.
fn with_tokens(realm: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
    Server::start(move |request| {
        if request.path.starts_with("/token") {
            return Reply::new(200, r#"{"token":"t0ken"}"#);
        }
        match request.header("authorization") {
            Some("Bearer t0ken") => {
                sound(request, b"component").unwrap_or_else(|| Reply::new(200, "component"))
            }
            _ => {
                let realm = realm(request.header("host").unwrap_or_default());
                Reply::new(401, "").with(format!(r#"WWW-Authenticate: Bearer realm="{realm}",service="s""#))
            }
        }
    })
}

#[tokio::test]
async fn tokens_are_bought_once_with_the_users_own_password() {
    let server = with_tokens(|host| format!("http://{host}/token?x=y"));
    let config = tempfile::NamedTempFile::new().unwrap();
    // The user `u` with the password `p:q`.
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"dTpwOnE="}}}}}}"#, server.host);
    std::fs::write(config.path(), auths).unwrap();
    let options =
        RegistryOptions { docker_config: Some(config.path().to_owned()), ..RegistryOptions::default() };
    let registry = Registry::new(options).unwrap();
    let (_folder, store) = store();
    let artifact = Artifact::look_up(&registry, &store, &server.reference(), LIMIT).await.unwrap();
    artifact.fetch(&registry, &store, &|_, _| {}).await.unwrap();
    let bought: Vec<_> = server.seen().into_iter().filter(|r| r.path.starts_with("/token")).collect();
    assert_eq!(bought.len(), 1);
    assert_eq!(bought[0].path, "/token?x=y&scope=repository%3Ateam%2Fstage%3Apull&service=s");
    assert_eq!(bought[0].header("authorization"), Some("Basic dTpwOnE="));
}

#[tokio::test]
async fn a_token_server_that_is_none_is_no_endless_loop() {
    for realm in ["", "file:///etc/passwd", "ftp://x/", "no url"] {
        let server = with_tokens(move |_| realm.to_owned());
        let error = client().manifest(&server.reference()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Protocol { .. }), "{realm}: {error}");
    }
    // Its tokens are never taken.
    let server = Server::start(|request| match request.path.starts_with("/token") {
        true => Reply::new(200, r#"{"token":"bad"}"#),
        false => {
            let host = request.header("host").unwrap_or_default();
            Reply::new(401, "").with(format!(r#"WWW-Authenticate: Bearer realm="http://{host}/token""#))
        }
    });
    let error = client().manifest(&server.reference()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { anonymous: true, .. }), "{error}");
}

#[tokio::test]
async fn another_host_gets_no_password_of_the_registrys() {
    let other = Server::start(|_| Reply::new(200, "component"));
    let place = format!("http://{}/elsewhere", other.host);
    let server = Server::start(move |request| {
        if request.header("authorization").is_none() {
            return Reply::new(401, "").with("WWW-Authenticate: Basic realm=\"x\"");
        }
        sound(request, b"component").unwrap_or_else(|| Reply::new(307, "").with(format!("Location: {place}")))
    });
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, server.host)).unwrap();
    let options =
        RegistryOptions { docker_config: Some(config.path().to_owned()), ..RegistryOptions::default() };
    let registry = Registry::new(options).unwrap();
    let (_folder, store) = store();
    let artifact = Artifact::look_up(&registry, &store, &server.reference(), LIMIT).await.unwrap();
    artifact.fetch(&registry, &store, &|_, _| {}).await.unwrap();
    let seen = other.seen();
    assert!(!seen.is_empty() && seen.iter().all(|r| r.header("authorization").is_none()), "{seen:?}");
}
