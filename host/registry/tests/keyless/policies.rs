//! Whom policies trust, and which cannot be meant.

use super::*;
use std::collections::BTreeMap;

const WORKFLOW: &str = "https://github.com/team/stages/.github/workflows/release.yml@refs/tags/v1";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

#[tokio::test]
async fn a_component_is_trusted_when_the_right_holder_has_signed_it() {
    let scene = Scene::new().await;
    let signed = scene.signed_by(&scene.bundle(&me())).await;
    let proofs = signed.by_me("trusted_root.json").unwrap();
    assert_eq!(proofs.len(), 1);
    assert_eq!(proofs[0].signer, format!("{ME} of {ISSUER}"));
    let of = |subject: &str| {
        format!("trustedRoot: trusted_root.json\nallOf: [{{kind: keyless, issuer: '{ISSUER}', {subject}}}]")
    };
    for subject in [
        "subject: {regex: '[a-z]+@example\\.com'}",
        "subject: {equal: me@example.com}, annotations: {env: prod}",
    ] {
        signed.verify(&of(subject)).unwrap();
    }
    for (subject, says) in [
        ("subject: {equal: you@example.com}", "it is by me@example.com of https://id.example.com"),
        ("subject: {regex: 'e@example\\.com'}", "it is by me@example.com"),
        ("subject: {urlPrefix: 'https://example.com/me'}", "it is by me@example.com"),
        ("subject: {equal: me@example.com}, annotations: {env: test}", "it does not say \"env=test\""),
    ] {
        let error = signed.verify(&of(subject)).unwrap_err();
        assert!(!error.is_usage() && error.to_string().contains(says), "{subject}: {error}");
    }
    let other = of("subject: {equal: me@example.com}").replace(ISSUER, "https://evil.example.com");
    assert!(signed.verify(&other).unwrap_err().to_string().contains("it is by me@example.com"));
    // Nobody's key has signed, and Sigstore's public instance does not know this one.
    let pair = rcgen::KeyPair::generate().unwrap();
    scene.file("a.pub", &pair.public_key_pem());
    let error = signed.verify("allOf: [{kind: pubKey, keyFile: a.pub}]").unwrap_err();
    assert!(error.to_string().contains("it is by a certificate"), "{error}");
    let public = of("subject: {equal: me@example.com}").replace("trustedRoot: trusted_root.json\n", "");
    let error = signed.verify(&public).unwrap_err();
    assert!(!error.is_usage() && error.to_string().contains("no signature by me@example.com"), "{error}");
}

#[tokio::test]
async fn a_workflow_is_trusted_by_its_repository() {
    let scene = Scene::new().await;
    let workflow = Signer { source: Some("https://github.com/team/stages"), ..Signer::new(WORKFLOW, GITHUB) };
    let signed = scene.signed_by(&scene.bundle(&workflow)).await;
    let policy = |signer: &str| format!("trustedRoot: trusted_root.json\nallOf: [{{{signer}}}]");
    for trusted in [
        "kind: githubAction, owner: team",
        "kind: githubAction, owner: team, repo: stages",
        "kind: genericIssuer, issuer: 'https://token.actions.githubusercontent.com', subject: {urlPrefix: 'https://github.com/team/stages'}",
    ] {
        let proofs = signed.verify(&policy(trusted)).unwrap();
        assert_eq!(proofs[0].signer, format!("{WORKFLOW} of {GITHUB}"));
    }
    for other in [
        "kind: githubAction, owner: tea",
        "kind: githubAction, owner: team, repo: stage",
        "kind: genericIssuer, issuer: 'https://token.actions.githubusercontent.com', subject: {urlPrefix: 'https://github.com/team/stage'}",
    ] {
        let error = signed.verify(&policy(other)).unwrap_err().to_string();
        assert!(error.contains("it is by https://github.com/team/stages/"), "{error}");
    }
    // The workflow of the team, which others may call, run for somebody else.
    let reused = Signer { source: Some("https://github.com/evil/stages"), ..workflow };
    let signed = scene.signed_by(&scene.bundle(&reused)).await;
    let error = signed.verify(&policy("kind: githubAction, owner: team, repo: stages")).unwrap_err();
    assert!(error.to_string().contains("for https://github.com/evil/stages"), "{error}");
}

#[tokio::test]
async fn holders_and_keys_are_counted_together() {
    let scene = Scene::new().await;
    let signed = scene.signed_by(&scene.bundle(&me())).await;
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = ilab_registry::PrivateKey::read(&scene.file("a.key", &pair.serialize_pem()), None).unwrap();
    scene.file("a.pub", &pair.public_key_pem());
    let both = format!(
        "trustedRoot: trusted_root.json\nallOf:\n- {{kind: pubKey, keyFile: a.pub}}\n- {{kind: genericIssuer, issuer: '{ISSUER}', subject: {{equal: {ME}}}}}"
    );
    assert!(signed.verify(&both).unwrap_err().to_string().contains("no signature by the key"));
    ilab_registry::sign(&scene.client, &scene.artifact, &key, &BTreeMap::new()).await.unwrap();
    let signed = scene.looked_up().await;
    assert_eq!(signed.verify(&both).unwrap().len(), 2);
}

#[tokio::test]
async fn policies_that_cannot_be_meant_are_refused_with_what_can() {
    let scene = Scene::new().await;
    let signed = scene.signed_by(&scene.bundle(&me())).await;
    for (signer, says) in [
        ("kind: genericIssuer, issuer: x", "missing field `subject`"),
        ("kind: genericIssuer, issuer: x, subject: {}", "one of equal, urlPrefix and regex"),
        (
            "kind: genericIssuer, issuer: x, subject: {equal: a, regex: b}",
            "one of equal, urlPrefix and regex",
        ),
        ("kind: genericIssuer, issuer: '', subject: {equal: a}", "has an issuer that is empty"),
        ("kind: genericIssuer, issuer: x, subject: {equal: ' '}", "has a subject that is empty"),
        ("kind: genericIssuer, issuer: x, subject: {regex: ''}", "has a regex that is empty"),
        (
            "kind: genericIssuer, issuer: x, subject: {regex: '('}",
            "has a regex that is no regular expression: unclosed group",
        ),
        (
            "kind: genericIssuer, issuer: x, subject: {urlPrefix: 'https://github.com'}",
            "has a urlPrefix that is no https URL with a path",
        ),
        ("kind: genericIssuer, issuer: x, subject: {prefix: y}", "equal, urlPrefix, regex"),
        ("kind: githubAction, repo: x", "missing field `owner`"),
        ("kind: githubAction, owner: a/b", "has an owner that GitHub cannot have"),
        ("kind: githubAction, owner: a, repo: ''", "has a repo that GitHub cannot have"),
        ("kind: certificate, file: x", "pubKey"),
    ] {
        let error = signed.verify(&format!("allOf: [{{{signer}}}]")).unwrap_err();
        let text = error.to_string();
        assert!(error.is_usage() && text.contains(says) && !text.contains('\n'), "{signer}: {text}");
    }
    let error = signed.verify("trustedRoot: trusted_root.json\nallOf: [{kind: pubKey, keyFile: a.pub}]");
    assert!(error.unwrap_err().is_usage());
}

#[tokio::test]
async fn trusted_roots_that_could_verify_nothing_are_refused() {
    let scene = Scene::new().await;
    let signed = scene.signed_by(&scene.bundle(&me())).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut root = scene.sigstore.trusted_root();
        change(&mut root);
        root.to_string()
    };
    let cases = [
        ("{".to_owned(), "is no trusted root that can be used"),
        (with(&|root| root["mediaType"] = "text/plain".into()), "its mediaType is another"),
        (with(&|root| root["tlogs"] = json!([])), "it has no tlogs"),
        (with(&|root| root["ctlogs"] = json!([])), "it has no ctlogs"),
        (with(&|root| root["certificateAuthorities"] = json!([])), "it has no certificateAuthorities"),
        (
            with(&|root| root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into()),
            "is no trusted root that can be used",
        ),
        (
            with(&|root| {
                root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = "AAAA".into()
            }),
            "is no trusted root that can be used",
        ),
    ];
    for (text, says) in cases {
        scene.file("bad_root.json", &text);
        let error = signed.by_me("bad_root.json").unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, TrustError::Root { .. }) && error.is_usage(), "{said}");
        assert!(said.contains("bad_root.json") && said.contains(says) && !said.contains('\n'), "{said}");
    }
    assert!(signed.by_me("none.json").unwrap_err().to_string().contains("none.json: cannot be read"));
}
