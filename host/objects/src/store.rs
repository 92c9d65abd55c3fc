//! Opening an S3 bucket from the options, keys and spellings of the reference.

use crate::ObjectsError;
use ilab_core::endpoint::endpoint_host;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{Certificate, ClientOptions, RetryConfig};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where and how a bucket is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// A URL with scheme and host; none: AWS by region.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The access key's id.
    pub access_key: String,
    /// The secret key. Never printed.
    pub secret_key: String,
    /// The region; none: `us-east-1`, which most other stores take.
    pub region: Option<String>,
    /// False turns off the check of the server's certificate; none is true.
    pub verify_tls: Option<bool>,
    /// A file of PEM certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("verify_tls", &self.verify_tls)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// A bucket, opened.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) s3: Arc<AmazonS3>,
    pub(crate) bucket: String,
    pub(crate) endpoint: String,
}

/// Reads a yes or no as the reference's command line spells it.
///
/// # Errors
/// [`ObjectsError::Option`] for any other word: a typo must not silently turn certificate checks off.
///
/// ```
/// use ilab_objects::parse_bool;
/// assert!(parse_bool("verify_tls", "On")?);
/// assert!(!parse_bool("verify_tls", "0")?);
/// assert!(parse_bool("verify_tls", "maybe").is_err());
/// # Ok::<(), ilab_objects::ObjectsError>(())
/// ```
pub fn parse_bool(option: &'static str, text: &str) -> Result<bool, ObjectsError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "y" | "on" => Ok(true),
        "false" | "0" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err(ObjectsError::Option {
            option,
            value: text.to_owned(),
            problem: "is not one of true, false, yes, no, on, off, 1, 0".into(),
        }),
    }
}

/// The key that a trained model is uploaded under: the data key with the time before its last segment.
///
/// For a key without `/` this is the reference's `<time>.<data key>`. With one, the reference put the time before the
/// whole key, which made a folder of it.
///
/// ```
/// use ilab_objects::upload_key;
/// let at = "2026-11-24T15:30:29Z".parse()?;
/// assert_eq!(upload_key("data.tar.gz", at), "2026-11-24_15-30-29.data.tar.gz");
/// assert_eq!(upload_key("a/b.tar.gz", at), "a/2026-11-24_15-30-29.b.tar.gz");
/// # Ok::<(), jiff::Error>(())
/// ```
#[must_use]
pub fn upload_key(data_key: &str, at: jiff::Timestamp) -> String {
    let time = at.strftime("%Y-%m-%d_%H-%M-%S");
    match data_key.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/{time}.{name}"),
        None => format!("{time}.{data_key}"),
    }
}

impl StoreOptions {
    /// Checks the options and opens the bucket. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ObjectsError::Option`] for an endpoint without scheme or host, or an empty bucket or key;
    /// [`ObjectsError::File`] when the certificate file cannot be read.
    pub fn open(&self) -> Result<Store, ObjectsError> {
        for (option, value) in
            [("bucket", &self.bucket), ("access_key", &self.access_key), ("secret_key", &self.secret_key)]
        {
            if value.is_empty() {
                return Err(ObjectsError::Option {
                    option,
                    value: String::new(),
                    problem: "is empty".into(),
                });
            }
        }
        // rustls takes the first provider that is installed; a second call is refused, which is what we want then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(10))
            .with_read_timeout(Duration::from_secs(60))
            .with_timeout_disabled()
            .with_allow_invalid_certificates(self.verify_tls == Some(false));
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path).map_err(|e| ObjectsError::file("read", path, e))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|e| ObjectsError::Option {
                option: "ca_file",
                value: path.display().to_string(),
                problem: format!("is no PEM certificate: {e}"),
            })? {
                client = client.with_root_certificate(certificate);
            }
        }
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_region(self.region.as_deref().filter(|r| !r.is_empty()).unwrap_or("us-east-1"))
            .with_retry(RetryConfig {
                max_retries: 5,
                retry_timeout: Duration::from_secs(60),
                ..RetryConfig::default()
            });
        let endpoint = self.endpoint.as_deref().filter(|e| !e.is_empty());
        if let Some(endpoint) = endpoint {
            check_endpoint(endpoint)?;
            if endpoint.starts_with("http:") {
                client = client.with_allow_http(true);
            }
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        let s3 = builder.with_client_options(client).build().map_err(|source| ObjectsError::Option {
            option: "endpoint",
            value: endpoint.unwrap_or("AWS").to_owned(),
            problem: format!("cannot be used: {source}"),
        })?;
        Ok(Store {
            s3: Arc::new(s3),
            bucket: self.bucket.clone(),
            endpoint: endpoint.unwrap_or("AWS").to_owned(),
        })
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), ObjectsError> {
    let problem = match endpoint_host(endpoint) {
        Ok(host) if host.contains('@') => "holds a user name: give the keys apart from it",
        Ok(_) => return Ok(()),
        Err(problem) => problem,
    };
    Err(ObjectsError::Option { option: "endpoint", value: endpoint.to_owned(), problem: problem.into() })
}

impl Store {
    /// The client's error in our words.
    pub(crate) fn explain(&self, key: &str, error: object_store::Error) -> ObjectsError {
        use object_store::Error as E;
        let text = error_chain(&error);
        let bucket = self.bucket.clone();
        match error {
            _ if text.contains("NoSuchBucket") => ObjectsError::NoSuchBucket { bucket },
            // Some stores answer 404 to an access key that they do not know; versitygw has a code of its own for it.
            _ if ["InvalidAccessKeyId", "XAdminUserNotFound"].iter().any(|code| text.contains(code)) => {
                ObjectsError::Denied { bucket, reason: denied_reason(&text) }
            }
            E::NotFound { .. } => ObjectsError::NoSuchKey { bucket, key: key.to_owned() },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                ObjectsError::Denied { bucket, reason: denied_reason(&text) }
            }
            E::Precondition { .. } => ObjectsError::Changed { key: key.to_owned() },
            source => ObjectsError::Unreachable { endpoint: self.endpoint.clone(), source },
        }
    }
}

fn denied_reason(text: &str) -> String {
    [
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "XAdminUserNotFound",
        "AccessDenied",
        "ExpiredToken",
        "RequestTimeTooSkewed",
    ]
    .into_iter()
    .find(|code| text.contains(code))
    .unwrap_or("access denied")
    .to_owned()
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: &str) -> StoreOptions {
        StoreOptions {
            endpoint: Some(endpoint.into()),
            bucket: "b".into(),
            access_key: "a".into(),
            secret_key: "s3cr3t".into(),
            ..StoreOptions::default()
        }
    }

    #[test]
    fn an_endpoint_needs_scheme_and_host() {
        for bad in [
            "s3.example.com",
            "s3.example.com:443",
            "ftp://s3",
            "http://",
            "https:///x",
            "http://:80",
            "http://u:p@s3",
        ] {
            assert!(options(bad).open().is_err(), "{bad}");
        }
        for good in ["http://127.0.0.1:9000", "https://s3.example.com/", "https://s3.example.com/path"] {
            assert!(options(good).open().is_ok(), "{good}");
        }
    }

    #[test]
    fn b26_verify_tls_takes_every_spelling_and_refuses_typos() {
        for yes in ["true", "1", "t", "yes", "y", "on", "ON", "True"] {
            assert!(parse_bool("verify_tls", yes).unwrap());
        }
        for no in ["false", "0", "f", "no", "n", "off"] {
            assert!(!parse_bool("verify_tls", no).unwrap());
        }
        assert!(parse_bool("verify_tls", "ture").is_err());
        assert!(parse_bool("verify_tls", "").is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", options("http://x")).contains("s3cr3t"));
    }
}
