//! Object store transfers: download and unpack, pack and upload.
//!
//! Everything streams: no step holds more than a few parts of an archive in memory, and nothing is written twice.
//! An archive is hostile until checked: see [`archive`].
//!
//! ```
//! use ilab_objects::StoreOptions;
//! let options = StoreOptions {
//!     endpoint: Some("s3.example.com".into()),
//!     bucket: "sdg".into(),
//!     access_key: "key".into(),
//!     secret_key: "secret".into(),
//!     ..StoreOptions::default()
//! };
//! assert!(options.open().unwrap_err().to_string().contains("scheme"));
//! ```

pub mod archive;
mod download;
mod error;
mod pipe;
mod store;
mod upload;

pub use download::{DownloadOptions, Downloaded, download};
pub use error::ObjectsError;
pub use store::{Store, StoreOptions, parse_bool, upload_key};
pub use upload::{Include, UploadOptions, Uploaded, upload_archive, upload_packed};

/// What a transfer tells whoever waits for it: bytes so far, and of how many where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes moved to or from the store so far.
    pub bytes: u64,
    /// Bytes in all; none while an archive is packed on the way.
    pub total: Option<u64>,
}

/// Receives [`Progress`]; called from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);
