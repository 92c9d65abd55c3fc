//! One thing is wrong at a time, and it is enough.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const ROOT: &str = "trusted_root.json";

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// Changes one bit in the middle of something in base64.
fn flip(part: &mut Value) {
    let mut bytes = STANDARD.decode(part.as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    *part = STANDARD.encode(bytes).into();
}

#[tokio::test]
async fn each_check_of_a_bundle_is_made() {
    let scene = Scene::new().await;
    let good = scene.bundle(&me());
    scene.signed_by(&good).await.by_me(ROOT).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        bundle
    };
    let other = statement(&"0".repeat(64));
    let mut report = scene.statement();
    report["predicateType"] = "https://example.com/vulnerabilities/v1".into();
    let about = |statement: &Value| scene.sigstore.bundle(&me(), statement.to_string().as_bytes());
    let of_another = scene.bundle(&me());
    let untimely = "nobody trusted has certified it at the time of the log";
    let cases = [
        (
            "another holder",
            scene.bundle(&Signer::new("you@example.com", ISSUER)),
            "it is by you@example.com of",
        ),
        (
            "another issuer",
            scene.bundle(&Signer::new(ME, "https://evil.example.com")),
            "of https://evil.example.com",
        ),
        ("logged too late", scene.bundle(&Signer { logged_after: 11, ..me() }), untimely),
        ("not for code", scene.bundle(&Signer { for_code: false, ..me() }), untimely),
        (
            "a certificate in no log",
            scene.bundle(&Signer { certificate_logged: false, ..me() }),
            "no trusted log has its certificate",
        ),
        ("another key", scene.bundle(&Signer { certified_key: false, ..me() }), "its signature is wrong"),
        ("another digest", about(&other), "it is about something else"),
        ("a report", about(&report), "neither a signature nor a provenance"),
        (
            "no log entry",
            changed(&|b| b["verificationMaterial"]["tlogEntries"] = json!([])),
            "it has no entry of a transparency log",
        ),
        ("no proof", changed(&|b| entry(b)["inclusionProof"] = Value::Null), "inclusion proof"),
        (
            "another proof",
            changed(&|b| flip(&mut entry(b)["inclusionProof"]["hashes"][0])),
            "no trusted log has it",
        ),
        (
            "another place",
            changed(&|b| entry(b)["inclusionProof"]["logIndex"] = "0".into()),
            "no trusted log has it",
        ),
        (
            "another promise",
            changed(&|b| flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"])),
            "no trusted log has it",
        ),
        (
            "another time",
            changed(&|b| entry(b)["integratedTime"] = "1700000000".into()),
            "no trusted log has it",
        ),
        (
            "no promise",
            changed(&|b| entry(b)["inclusionPromise"] = Value::Null),
            "nobody trusted says when it was signed",
        ),
        (
            "another's entry",
            changed(&|b| *entry(b) = of_another["verificationMaterial"]["tlogEntries"][0].clone()),
            "no trusted log has it",
        ),
        (
            "another checkpoint",
            changed(&|b| {
                let text = entry(b)["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap().to_owned();
                entry(b)["inclusionProof"]["checkpoint"]["envelope"] =
                    text.replace("- 1\n2\n", "- 2\n2\n").into();
            }),
            "no trusted log has it",
        ),
        (
            "another's certificate",
            changed(&|b| {
                b["verificationMaterial"]["certificate"] =
                    of_another["verificationMaterial"]["certificate"].clone()
            }),
            "its signature is wrong",
        ),
        (
            "another signature",
            changed(&|b| flip(&mut b["dsseEnvelope"]["signatures"][0]["sig"])),
            "its signature is wrong",
        ),
        (
            "another's statement turned to this",
            {
                let mut bundle = about(&other);
                bundle["dsseEnvelope"]["payload"] = STANDARD.encode(scene.statement().to_string()).into();
                bundle
            },
            "its signature is wrong",
        ),
        (
            "no statement",
            changed(&|b| b["dsseEnvelope"]["payloadType"] = "text/plain".into()),
            "it signs no statement",
        ),
        ("no signature", changed(&|b| b["dsseEnvelope"]["signatures"] = json!([])), "it is no bundle"),
        (
            "a bare file",
            changed(&|b| {
                b.as_object_mut().unwrap().remove("dsseEnvelope");
                b["messageSignature"] = json!({"signature": "AAAA"});
            }),
            "it signs a bare file",
        ),
        (
            "another version",
            changed(&|b| b["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.9+json".into()),
            "it is no bundle",
        ),
        ("nothing", json!({}), "it is no bundle"),
    ];
    for (what, bundle, says) in cases {
        scene.signed_by(&bundle).await.refused(what, ROOT, says);
    }
}

#[tokio::test]
async fn each_part_of_the_trusted_root_is_needed() {
    let scene = Scene::new().await;
    let signed = scene.signed_by(&scene.bundle(&me())).await;
    let foreign = Sigstore::new().trusted_root();
    for (part, says) in [
        ("certificateAuthorities", "nobody trusted has certified it at the time of the log"),
        ("ctlogs", "no trusted log has its certificate"),
        ("tlogs", "no trusted log has it"),
    ] {
        let mut root = scene.sigstore.trusted_root();
        root[part] = foreign[part].clone();
        scene.file("foreign.json", &root.to_string());
        signed.refused(part, "foreign.json", says);
    }
    // An authority and logs that were trusted at other times.
    for (at, says) in [
        ("/certificateAuthorities/0/validFor", "nobody trusted has certified it at the time of the log"),
        ("/ctlogs/0/publicKey/validFor", "no trusted log has its certificate"),
        ("/tlogs/0/publicKey/validFor", "no trusted log has it"),
    ] {
        let mut root = scene.sigstore.trusted_root();
        *root.pointer_mut(at).unwrap() =
            json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
        scene.file("foreign.json", &root.to_string());
        signed.refused(at, "foreign.json", says);
    }
}

#[tokio::test]
async fn cosigns_older_signatures_are_verified_as_bundles_are() {
    let scene = Scene::new().await;
    let subject = scene.artifact.manifest.as_str();
    let put = |payload: &[u8], signed: &ilab_test_support::SignedPayload| {
        scene.registry.put_payload("team/stage", subject, payload, signed);
    };
    let payload = scene.payload();
    let good = scene.sigstore.payload(&me(), &payload);
    put(&payload, &good);
    let signed = scene.looked_up().await;
    assert_eq!(signed.by_me(ROOT).unwrap()[0].signer, format!("{ME} of {ISSUER}"));
    let with = format!(
        "trustedRoot: {ROOT}\nallOf: [{{kind: genericIssuer, issuer: '{ISSUER}', subject: {{equal: {ME}}}, annotations: {{env: prod}}}}]"
    );
    signed.verify(&with).unwrap();
    signed.verify(&with.replace("prod", "test")).unwrap_err();

    let mut entry: Value = serde_json::from_str(&good.log_entry).unwrap();
    entry["Payload"]["integratedTime"] = 1_700_000_000.into();
    let at_another_time = entry.to_string();
    entry = serde_json::from_str(&good.log_entry).unwrap();
    flip(&mut entry["SignedEntryTimestamp"]);
    let promised_by_another = entry.to_string();
    let of_another = scene.sigstore.payload(&me(), &payload);
    let text = String::from_utf8(payload.clone()).unwrap();
    let another = text.replace(scene.artifact.manifest.hex(), &"0".repeat(64)).into_bytes();
    let untimely = "nobody trusted has certified it at the time of the log";
    let faulty = |signer: Signer<'_>| scene.sigstore.payload(&signer, &payload);
    for (what, payload, signed, says) in [
        (
            "another holder",
            &payload,
            faulty(Signer::new("you@example.com", ISSUER)),
            "it is by you@example.com",
        ),
        ("logged too late", &payload, faulty(Signer { logged_after: 11, ..me() }), untimely),
        ("not for code", &payload, faulty(Signer { for_code: false, ..me() }), untimely),
        (
            "a certificate in no log",
            &payload,
            faulty(Signer { certificate_logged: false, ..me() }),
            "no trusted log has its certificate",
        ),
        ("another key", &payload, faulty(Signer { certified_key: false, ..me() }), "its signature is wrong"),
        ("another digest", &another, scene.sigstore.payload(&me(), &another), "not this"),
        ("another payload", &payload, scene.sigstore.payload(&me(), &another), "its signature is wrong"),
        ("no log entry", &payload, with_entry(&good, ""), "it has no entry of a transparency log"),
        ("no entry that can be read", &payload, with_entry(&good, "{}"), "its log entry cannot be read"),
        ("another time", &payload, with_entry(&good, &at_another_time), "no trusted log has it"),
        ("another promise", &payload, with_entry(&good, &promised_by_another), "no trusted log has it"),
        ("another's entry", &payload, with_entry(&good, &of_another.log_entry), "no trusted log has it"),
    ] {
        put(payload, &signed);
        scene.looked_up().await.refused(what, ROOT, says);
    }
}

fn with_entry(signed: &ilab_test_support::SignedPayload, entry: &str) -> ilab_test_support::SignedPayload {
    ilab_test_support::SignedPayload { log_entry: entry.to_owned(), ..signed.clone() }
}
