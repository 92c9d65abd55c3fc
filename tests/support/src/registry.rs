//! The OCI registry `distribution` over a folder of plain files.

use crate::server::{Server, built_by};
use crate::sigstore::SignedPayload;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a registry asks of those who come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RegistryNeeds {
    /// Speaks TLS, with a certificate of an authority of its own.
    pub tls: bool,
    /// Lets nobody in but [`OciRegistry::USER`].
    pub password: bool,
}

/// A running registry; dropping it ends it.
#[derive(Debug)]
pub struct OciRegistry(Server);

impl OciRegistry {
    /// Who may come in where a password is wanted.
    pub const USER: &str = "tester";
    /// The user's password.
    pub const PASSWORD: &str = "a test's password";
    /// The user's line of an htpasswd file, by bcrypt.
    const HTPASSWD: &str = "$2a$05$i6BPi4i7i/4SM9w3uGfyw.oc52HeReO1f6EjyS.YHi9BRH68M13y2";

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be built or does not answer within 20 seconds; its output is in the message.
    #[must_use]
    pub fn start(needs: RegistryNeeds) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = folder.path();
        let port = Server::free_port();
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            at.join("store").display()
        );
        if needs.tls {
            certificates(at);
            config += &format!(
                "  tls: {{certificate: {}, key: {}}}\n",
                at.join("server.pem").display(),
                at.join("server.key").display()
            );
        }
        if needs.password {
            fs::write(at.join("htpasswd"), format!("{}:{}\n", Self::USER, Self::HTPASSWD))
                .expect("a password file");
            config +=
                &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", at.join("htpasswd").display());
        }
        fs::write(at.join("config.yml"), config).expect("a configuration");
        let mut command = Command::new(built_by("oci-registry"));
        command.arg("serve").arg(at.join("config.yml")).env("OTEL_TRACES_EXPORTER", "none");
        Self(Server::start("the registry", &mut command, folder, port))
    }

    /// Its host and port, as a reference names it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.0.port())
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.0.folder().join("ca.pem")
    }

    /// The file of a blob.
    #[must_use]
    pub fn blob(&self, hex: &str) -> PathBuf {
        let blobs = self.0.folder().join("store/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Puts a blob into a repository, as any client may, and answers its descriptor.
    ///
    /// # Panics
    /// When the registry does not take it.
    pub fn put_blob(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.0.request("POST", &path, "application/octet-stream", b"", 202);
        let at =
            begun.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place to upload to");
        let at = at.trim().split_once(&self.host()).expect("a place here").1;
        self.0.request("PUT", &format!("{at}&digest={digest}"), "application/octet-stream", bytes, 201);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Puts a manifest under a tag, or under its digest when that is given, and answers its descriptor.
    ///
    /// # Panics
    /// When the registry does not take it.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, manifest: &Value) -> Value {
        let bytes = manifest.to_string();
        let digest = digest(bytes.as_bytes());
        let media_type = manifest["mediaType"].as_str().expect("a media type");
        let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&digest));
        self.0.request("PUT", &path, media_type, bytes.as_bytes(), 201);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Puts a bundle beside the manifest of this digest, where clients of registries without a list of referrers look.
    pub fn put_bundle(&self, repository: &str, subject: &str, bundle: &Value) {
        const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let layer = self.put_blob(repository, BUNDLE, bundle.to_string().as_bytes());
        let empty = self.put_blob(repository, "application/vnd.oci.empty.v1+json", b"{}");
        let mut referrer = self.put_manifest(
            repository,
            None,
            &json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": empty, "layers": [layer],
                "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1},
            }),
        );
        referrer["artifactType"] = BUNDLE.into();
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [referrer],
        });
        self.put_manifest(repository, Some(&subject.replace(':', "-")), &index);
    }

    /// Puts a signed payload beside the manifest of this digest, where cosign did before there were bundles.
    pub fn put_payload(&self, repository: &str, subject: &str, payload: &[u8], signed: &SignedPayload) {
        let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
        let mut layer = self.put_blob(repository, simple, payload);
        layer["annotations"] = json!({
            "dev.cosignproject.cosign/signature": signed.signature,
            "dev.sigstore.cosign/certificate": signed.certificate,
            "dev.sigstore.cosign/chain": signed.chain,
            "dev.sigstore.cosign/bundle": signed.log_entry,
        });
        let config = self.put_blob(repository, "application/vnd.oci.image.config.v1+json", b"{}");
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.put_manifest(repository, Some(&format!("{}.sig", subject.replace(':', "-"))), &manifest);
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.0.log()
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An authority, and a certificate of it for localhost.
fn certificates(at: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("an authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "the authority of a test");
    let certificate = ca.self_signed(&ca_key).expect("a certificate");
    fs::write(at.join("ca.pem"), certificate.pem()).expect("a file");
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).expect("names");
    let server = params.signed_by(&key, &issuer).expect("a certificate");
    fs::write(at.join("server.pem"), server.pem()).expect("a file");
    fs::write(at.join("server.key"), key.serialize_pem()).expect("a file");
}
