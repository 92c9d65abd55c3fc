//! Against a real registry.

mod archives;

use ilab_registry::{
    Artifact, Component, Digest, Interface, LOCK_FILE, Lock, Locked, Reference, Registry, RegistryError,
    RegistryOptions, Store, push,
};
use ilab_test_support::{OciRegistry, RegistryNeeds};
use std::path::Path;

const LIMIT: u64 = 64 << 20;

/// Options without the credentials of whoever runs the tests.
fn options() -> RegistryOptions {
    RegistryOptions { docker_config: Some("/nonexistent/config.json".into()), ..RegistryOptions::default() }
}

fn client() -> Registry {
    Registry::new(options()).unwrap()
}

fn store(folder: &Path) -> Store {
    Store::open(folder.to_owned()).unwrap()
}

fn reference(registry: &OciRegistry, name: &str) -> Reference {
    format!("oci://{}/{name}", registry.host()).parse().unwrap()
}

fn component(bytes: impl Into<bytes::Bytes>) -> Component {
    Component {
        bytes: bytes.into(),
        interface: Interface {
            exports: vec!["ilab:pipeline/stage@0.1.0".into()],
            imports: vec!["ilab:pipeline/host-log@0.1.0".into()],
            target: Some("ilab:pipeline/stage-plugin@0.1.0".into()),
        },
        annotations: [("org.opencontainers.image.licenses".to_owned(), "Apache-2.0".to_owned())].into(),
        created: "1970-01-01T00:00:00Z".into(),
    }
}

async fn pull(client: &Registry, store: &Store, at: &Reference) -> Result<Artifact, RegistryError> {
    let artifact = Artifact::look_up(client, store, at, LIMIT).await?;
    artifact.fetch(client, store, &|_, _| {}).await?;
    Ok(artifact)
}

#[tokio::test]
async fn a_component_goes_up_and_comes_down_unchanged() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let client = client();
    let at = reference(&registry, "team/my-stage:1.0");
    // Larger than one read, and not all the same.
    let bytes: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let pushed = push(&client, &at, &component(bytes.clone())).await.unwrap();
    assert!(pushed.sent);
    assert_eq!(pushed.component, Digest::of(&bytes));
    assert_eq!(pushed.reference, at.at_digest(&pushed.manifest));
    // The same bytes have the same name wherever and however often they are pushed.
    let again =
        push(&client, &reference(&registry, "team/my-stage:again"), &component(bytes.clone())).await.unwrap();
    assert!(!again.sent);
    assert_eq!(again.manifest, pushed.manifest);

    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let largest = std::sync::Mutex::new((0, 0));
    let artifact = Artifact::look_up(&client, &store, &at, LIMIT).await.unwrap();
    assert_eq!(
        Artifact::in_store(&store, &artifact.reference, LIMIT).unwrap(),
        None,
        "its bytes are not there yet"
    );
    artifact.fetch(&client, &store, &|bytes, of| *largest.lock().unwrap() = (bytes, of)).await.unwrap();
    assert_eq!(*largest.lock().unwrap(), (bytes.len() as u64, bytes.len() as u64));
    assert_eq!(std::fs::read(store.path(&artifact.component)).unwrap(), bytes);
    assert_eq!((&artifact.manifest, artifact.size), (&pushed.manifest, bytes.len() as u64));

    // From now on nobody has to be asked.
    drop(registry);
    let found = Artifact::in_store(&store, &artifact.reference, LIMIT).unwrap().unwrap();
    assert_eq!(found, artifact);
    found.fetch(&client, &store, &|_, _| panic!("it was fetched")).await.unwrap();
}

#[tokio::test]
async fn what_was_broken_in_the_store_is_fetched_again() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let (client, at) = (client(), reference(&registry, "a:1"));
    push(&client, &at, &component("component")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let artifact = pull(&client, &store, &at).await.unwrap();
    std::fs::write(store.path(&artifact.component), "compoNent").unwrap();
    artifact.fetch(&client, &store, &|_, _| {}).await.unwrap();
    assert_eq!(std::fs::read(store.path(&artifact.component)).unwrap(), b"component");
}

#[tokio::test]
async fn bytes_that_were_changed_in_the_registry_are_refused() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let (client, at) = (client(), reference(&registry, "a:1"));
    let pushed = push(&client, &at, &component("component")).await.unwrap();
    std::fs::write(registry.blob(pushed.component.hex()), "compoNent").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = pull(&client, &store(folder.path()), &at).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::DigestMismatch { expected, .. } if *expected == pushed.component),
        "{error}"
    );
    assert!(error.is_mistrust());
}

#[tokio::test]
async fn a_tag_that_moves_moves_no_lock() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let (client, at) = (client(), reference(&registry, "team/stage:1"));
    push(&client, &at, &component("first")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let first = pull(&client, &store, &at).await.unwrap();
    let mut lock = Lock::read_or_new(&folder.path().join(LOCK_FILE)).unwrap();
    lock.set(Locked::from(&first));
    lock.write().unwrap();
    push(&client, &at, &component("second")).await.unwrap();
    assert_ne!(pull(&client, &store, &at).await.unwrap().manifest, first.manifest);

    let lock = Lock::read(lock.path()).unwrap();
    let pinned = lock.find(&at).unwrap().pinned();
    let elsewhere = tempfile::tempdir().unwrap();
    let again = pull(&client, &self::store(elsewhere.path()), &pinned).await.unwrap();
    assert_eq!(again.component, Digest::of(b"first"));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let registry = OciRegistry::start(RegistryNeeds::default());
    let at = reference(&registry, "team/stage:1");
    let error = client().manifest(&at).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::NotFound { reference } if *reference == at.to_string()),
        "{error}"
    );
    let by_digest = at.at_digest(&Digest::of(b"nothing"));
    assert!(matches!(client().manifest(&by_digest).await, Err(RegistryError::NotFound { .. })));
    let digest = push(&client(), &by_digest, &component("x")).await.unwrap_err();
    assert!(digest.is_usage(), "{digest}");
}

#[tokio::test]
async fn a_registry_lets_in_whom_docker_has_logged_in() {
    let registry = OciRegistry::start(RegistryNeeds { password: true, ..RegistryNeeds::default() });
    let at = reference(&registry, "a:1");
    let error = push(&client(), &at, &component("x")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { anonymous: true, action: "push", .. }), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let with = |user: &str, password: &str| {
        use base64::Engine;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        std::fs::write(&config, format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.host()))
            .unwrap();
        Registry::new(RegistryOptions { docker_config: Some(config.clone()), ..options() }).unwrap()
    };
    let error = push(&with(OciRegistry::USER, "wrong"), &at, &component("x")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { anonymous: false, .. }), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let client = with(OciRegistry::USER, OciRegistry::PASSWORD);
    push(&client, &at, &component("x")).await.unwrap();
    pull(&client, &store(folder.path()), &at).await.unwrap();

    std::fs::write(&config, "{").unwrap();
    let broken = Registry::new(RegistryOptions { docker_config: Some(config.clone()), ..options() }).unwrap();
    assert!(matches!(broken.manifest(&at).await, Err(RegistryError::Credentials { .. })));
}

#[tokio::test]
async fn a_certificate_is_checked_and_its_authority_can_be_named() {
    let registry = OciRegistry::start(RegistryNeeds { tls: true, ..RegistryNeeds::default() });
    let at = reference(&registry, "a:1");
    let error = client().manifest(&at).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(ilab_core::text::chain(&error).contains("certificate"), "{}", ilab_core::text::chain(&error));
    let with = Registry::new(RegistryOptions { ca_file: Some(registry.ca_file()), ..options() }).unwrap();
    push(&with, &at, &component("x")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    pull(&with, &store(folder.path()), &at).await.unwrap();

    let none = folder.path().join("none.pem");
    std::fs::write(&none, "no certificate").unwrap();
    let error = Registry::new(RegistryOptions { ca_file: Some(none), ..options() }).unwrap_err();
    assert!(matches!(error, RegistryError::Content { .. }), "{error}");
}
