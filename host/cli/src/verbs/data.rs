//! `data upload|download|check`: what runs in the fetch and upload pods, and by hand.

use crate::args::{DataVerb, OutputFormat, StoreArgs};
use crate::report::{TransferBar, print_data};
use crate::{CliError, exit};
use ilab_objects::{
    DownloadOptions, Include, ObjectsError, StoreOptions, UploadOptions, archive, download, parse_bool,
    upload_archive, upload_key, upload_packed,
};
use serde::Serialize;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Runs one of them.
///
/// # Errors
/// Options that cannot be right, and what [`ObjectsError`] lists.
pub async fn run(verb: DataVerb) -> Result<(), CliError> {
    match verb {
        DataVerb::Upload {
            archive,
            include,
            include_optional,
            root,
            key_prefix_timestamp,
            store,
            output,
        } => {
            let resolved = Resolved::from(store);
            let bucket = resolved.options()?.open()?;
            let bar = TransferBar::new("upload");
            let progress = |p| bar.show(p);
            let uploaded = match archive {
                Some(file) => {
                    let key = resolved
                        .key
                        .clone()
                        .or_else(|| file.file_name().map(|n| n.to_string_lossy().into_owned()));
                    let key =
                        key.ok_or_else(|| CliError::usage(format!("{} names no file", file.display())))?;
                    upload_archive(&bucket, &file, &key, &progress).await?
                }
                None => {
                    let key = resolved.data_key()?;
                    let key =
                        if key_prefix_timestamp { upload_key(&key, jiff::Timestamp::now()) } else { key };
                    let mut parts = includes(&include, false)?;
                    parts.extend(includes(&include_optional, true)?);
                    let root = root.ok_or_else(|| CliError::usage("--include needs --root"))?;
                    upload_packed(&bucket, &UploadOptions { key, root, include: parts }, &progress).await?
                }
            };
            bar.finish();
            for absent in &uploaded.absent {
                eprintln!("note: {absent} is not there and was left out");
            }
            report(&uploaded, output.output, || {
                format!("uploaded {} ({} bytes)", uploaded.key, uploaded.bytes)
            })
        }
        DataVerb::Download { into, force, store, output } => {
            let resolved = Resolved::from(store);
            let bucket = resolved.options()?.open()?;
            let options = DownloadOptions { key: resolved.data_key()?, into, force };
            let bar = TransferBar::new("download");
            let done = download(&bucket, &options, &|p| bar.show(p)).await?;
            bar.finish();
            if done.ignored > 0 {
                eprintln!("note: {} members outside data/, model/ and taxonomy/ were left out", done.ignored);
            }
            report(&done, output.output, || match done.skipped {
                true => format!("{} is unpacked here already; --force downloads it again", options.key),
                false => format!(
                    "downloaded {}: {} files, {} bytes",
                    options.key, done.members, done.unpacked_bytes
                ),
            })
        }
        DataVerb::Check { archive: path, output } => {
            let contents = check(&path)?;
            #[derive(Serialize)]
            struct Checked {
                files: usize,
                bytes: u64,
                ignored: usize,
            }
            let checked =
                Checked { files: contents.files.len(), bytes: contents.bytes(), ignored: contents.ignored };
            report(&checked, output.output, || {
                format!("{} is sound: {} files, {} bytes", path.display(), checked.files, checked.bytes)
            })
        }
    }
}

fn check(path: &Path) -> Result<archive::Contents, CliError> {
    let file = File::open(path).map_err(|source| ObjectsError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    Ok(archive::read(&path.display().to_string(), file, None)?)
}

/// Prose to stderr and the line that `collect` reads to stdout; with `-o`, only the data.
fn report(
    result: &impl Serialize,
    format: Option<OutputFormat>,
    prose: impl Fn() -> String,
) -> Result<(), CliError> {
    if format.is_some() {
        return print_data(result, format);
    }
    eprintln!("{}", prose());
    let json = serde_json::to_string(result).map_err(|e| CliError::from_error(exit::FAILURE, &e))?;
    println!("ILAB_OUTPUTS {json}");
    Ok(())
}

fn includes(texts: &[String], optional: bool) -> Result<Vec<Include>, CliError> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((path, name)) if !path.is_empty() && !name.is_empty() => {
                Ok(Include { path: path.into(), name: Some(name.into()), optional })
            }
            None if !text.is_empty() => Ok(Include { path: text.into(), name: None, optional }),
            _ => Err(CliError::usage(format!("--include {text:?} is not PATH or PATH=NAME"))),
        })
        .collect()
}

/// The options with what the environment adds.
struct Resolved {
    endpoint: Option<String>,
    bucket: Option<String>,
    access_key: Option<String>,
    secret_key: Option<String>,
    region: Option<String>,
    verify_tls: Option<String>,
    key: Option<String>,
    ca_file: Option<PathBuf>,
}

impl From<StoreArgs> for Resolved {
    fn from(args: StoreArgs) -> Self {
        let or_env = |given: Option<String>, name: &str| {
            let env = |prefix: &str| {
                std::env::var(format!("{prefix}OBJECT_STORE_{name}")).ok().filter(|v| !v.is_empty())
            };
            given.or_else(|| env("SDG_")).or_else(|| env(""))
        };
        Self {
            endpoint: or_env(args.object_store_endpoint, "ENDPOINT"),
            bucket: or_env(args.object_store_bucket, "BUCKET"),
            access_key: or_env(args.object_store_access_key, "ACCESS_KEY"),
            secret_key: or_env(args.object_store_secret_key, "SECRET_KEY"),
            region: or_env(args.object_store_region, "REGION"),
            verify_tls: or_env(args.object_store_verify_tls, "VERIFY_TLS"),
            key: or_env(args.object_store_data_key, "DATA_KEY"),
            ca_file: args.object_store_ca_file.or_else(|| or_env(None, "CA_FILE").map(PathBuf::from)),
        }
    }
}

impl Resolved {
    fn options(&self) -> Result<StoreOptions, CliError> {
        let needed =
            [("bucket", &self.bucket), ("access-key", &self.access_key), ("secret-key", &self.secret_key)];
        let missing: Vec<_> =
            needed.iter().filter(|(_, v)| v.is_none()).map(|(n, _)| format!("--object-store-{n}")).collect();
        if !missing.is_empty() {
            return Err(CliError::usage(format!("missing {}", missing.join(", ")))
                .hint("give the options, or their environment variables (see --help)"));
        }
        let verify_tls = self.verify_tls.as_deref().map(|t| parse_bool("verify_tls", t)).transpose()?;
        Ok(StoreOptions {
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone().unwrap_or_default(),
            access_key: self.access_key.clone().unwrap_or_default(),
            secret_key: self.secret_key.clone().unwrap_or_default(),
            region: self.region.clone(),
            verify_tls,
            ca_file: self.ca_file.clone(),
        })
    }

    fn data_key(&self) -> Result<String, CliError> {
        self.key.clone().ok_or_else(|| {
            CliError::usage("missing --object-store-data-key")
                .hint("give the key of the object in the bucket")
        })
    }
}
