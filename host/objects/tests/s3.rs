//! Transfers against a real S3 server.

use flate2::{Compression, write::GzEncoder};
use ilab_objects::{
    DownloadOptions, Include, ObjectsError, Progress, StoreOptions, UploadOptions, download, upload_archive,
    upload_packed,
};
use ilab_test_support::S3Server;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

fn options(server: &S3Server) -> StoreOptions {
    StoreOptions {
        endpoint: Some(server.endpoint()),
        bucket: "sdg".into(),
        access_key: S3Server::ACCESS_KEY.into(),
        secret_key: S3Server::SECRET_KEY.into(),
        ..StoreOptions::default()
    }
}

fn sample(weights: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content).unwrap();
    };
    for path in [
        "model/config.json",
        "model/tokenizer.json",
        "model/tokenizer_config.json",
        "data/skills_recipe_1.yaml",
        "data/knowledge_recipe_1.yaml",
        "data/skills_train_msgs_1.jsonl",
        "data/knowledge_train_msgs_1.jsonl",
        "taxonomy/knowledge/a/qna.yaml",
        "taxonomy/foundational_skills/b/qna.yaml",
    ] {
        add(path, path.as_bytes());
    }
    // Not compressible, so that the archive really is as large.
    let mut x = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[0]
    })
    .take(weights)
    .collect();
    add("model/model.safetensors", &noise);
    tar.into_inner().unwrap().finish().unwrap()
}

fn quiet(_: Progress) {}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_goes_up_and_comes_down_unchanged() {
    let server = S3Server::start(&["sdg"]);
    let store = options(&server).open().unwrap();
    let local = tempfile::tempdir().unwrap();
    let file = local.path().join("a.tar.gz");
    let bytes = sample(20 << 20);
    fs::write(&file, &bytes).unwrap();
    let moved = AtomicU64::new(0);
    let up =
        upload_archive(&store, &file, "deep/folder/a.tar.gz", &|p| moved.store(p.bytes, Ordering::Relaxed))
            .await
            .unwrap();
    assert_eq!(up.bytes, bytes.len() as u64);
    assert_eq!(moved.load(Ordering::Relaxed), up.bytes);
    assert_eq!(fs::read(server.file("sdg", "deep/folder/a.tar.gz")).unwrap(), bytes);

    let into = local.path().join("claim");
    fs::create_dir(&into).unwrap();
    let ask = |force| DownloadOptions { key: "deep/folder/a.tar.gz".into(), into: into.clone(), force };
    let down = download(&store, &ask(false), &quiet).await.unwrap();
    assert_eq!((down.skipped, &down.sha256, down.members), (false, &up.sha256, 10));
    assert_eq!(fs::read(into.join("model/config.json")).unwrap(), b"model/config.json");

    // Nothing changed: nothing is downloaded. A file is missing: everything is.
    assert!(download(&store, &ask(false), &quiet).await.unwrap().skipped);
    fs::remove_file(into.join("model/config.json")).unwrap();
    assert!(!download(&store, &ask(false), &quiet).await.unwrap().skipped);

    // Checkpoints of a training outlive a forced download.
    fs::create_dir_all(into.join("model/output/phase_1")).unwrap();
    fs::write(into.join("data/stale"), b"").unwrap();
    assert!(!download(&store, &ask(true), &quiet).await.unwrap().skipped);
    assert!(into.join("model/output/phase_1").is_dir());
    assert!(!into.join("data/stale").exists());
    assert!(!into.join(".ilab-download").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_replaced_is_downloaded_again() {
    let server = S3Server::start(&["sdg"]);
    let store = options(&server).open().unwrap();
    let local = tempfile::tempdir().unwrap();
    let (file, into) = (local.path().join("a.tar.gz"), local.path().join("claim"));
    fs::create_dir(&into).unwrap();
    let ask = DownloadOptions { key: "a.tar.gz".into(), into, force: false };
    for size in [1000, 1001] {
        fs::write(&file, sample(size)).unwrap();
        upload_archive(&store, &file, "a.tar.gz", &quiet).await.unwrap();
        let down = download(&store, &ask, &quiet).await.unwrap();
        assert!(!down.skipped);
        assert_eq!(fs::metadata(ask.into.join("model/model.safetensors")).unwrap().len(), size as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_access_is_told_apart() {
    let server = S3Server::start(&["sdg"]);
    let into = tempfile::tempdir().unwrap();
    let ask = DownloadOptions { key: "nothing.tar.gz".into(), into: into.path().to_owned(), force: false };
    let fails =
        async |options: StoreOptions| download(&options.open().unwrap(), &ask, &quiet).await.unwrap_err();

    let error = fails(options(&server)).await;
    assert!(matches!(error, ObjectsError::NoSuchKey { .. }), "{error:?}");
    let error = fails(StoreOptions { secret_key: "wrong".into(), ..options(&server) }).await;
    assert!(matches!(error, ObjectsError::Denied { .. }), "{error:?}");
    let error = fails(StoreOptions { access_key: "nobody".into(), ..options(&server) }).await;
    assert!(matches!(error, ObjectsError::Denied { .. }), "{error:?}");
    assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0, "a failed download leaves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bucket_is_named_on_upload() {
    let server = S3Server::start(&["sdg"]);
    let local = tempfile::tempdir().unwrap();
    let file = local.path().join("a.tar.gz");
    fs::write(&file, sample(10)).unwrap();
    let store = StoreOptions { bucket: "other".into(), ..options(&server) }.open().unwrap();
    let error = upload_archive(&store, &file, "a.tar.gz", &quiet).await.unwrap_err();
    assert!(matches!(&error, ObjectsError::NoSuchBucket { bucket } if bucket == "other"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_archive_in_the_store_changes_nothing_on_disk() {
    let server = S3Server::start(&["sdg"]);
    let bytes = sample(3 << 20);
    fs::write(server.file("sdg", "cut.tar.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let into = tempfile::tempdir().unwrap();
    fs::create_dir(into.path().join("data")).unwrap();
    fs::write(into.path().join("data/mine"), b"kept").unwrap();
    let ask = DownloadOptions { key: "cut.tar.gz".into(), into: into.path().to_owned(), force: true };
    let error = download(&options(&server).open().unwrap(), &ask, &quiet).await.unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
    assert_eq!(fs::read(into.path().join("data/mine")).unwrap(), b"kept");
    assert_eq!(fs::read_dir(into.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn b17_results_are_packed_under_a_key_with_slashes() {
    let server = S3Server::start(&["sdg"]);
    let store = options(&server).open().unwrap();
    let local = tempfile::tempdir().unwrap();
    let root = local.path().join("data");
    fs::create_dir_all(root.join("model/output/samples_9")).unwrap();
    fs::write(root.join("model/output/samples_9/model.safetensors"), vec![3; 100_000]).unwrap();
    fs::write(root.join("mt-bench-best.txt"), b"{}").unwrap();
    let include = |path: &str, name: Option<&str>, optional| Include {
        path: path.into(),
        name: name.map(Into::into),
        optional,
    };
    let mut ask = UploadOptions {
        key: "team/a/2026.tar.gz".into(),
        root,
        include: vec![
            include("mt-bench-best.txt", None, false),
            include("mmlu-branch-best.txt", None, true),
            include("model/output/samples_9", Some("model/candidate_model"), false),
        ],
    };
    let up = upload_packed(&store, &ask, &quiet).await.unwrap();
    assert_eq!(up.absent, ["mmlu-branch-best.txt"]);
    let stored = server.file("sdg", "team/a/2026.tar.gz");
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&stored).unwrap()));
    let mut names: Vec<_> =
        tar.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
    names.retain(|n| !n.ends_with('/') && !n.ends_with("candidate_model"));
    assert_eq!(names, ["data/mt-bench-best.txt", "data/model/candidate_model/model.safetensors"]);

    ask.include = vec![include("absent", None, false)];
    assert!(matches!(upload_packed(&store, &ask, &quiet).await, Err(ObjectsError::File { .. })));
    ask.include = vec![include("../etc", None, false)];
    assert!(matches!(upload_packed(&store, &ask, &quiet).await, Err(ObjectsError::Option { .. })));
    assert!(!Path::new(&server.bucket("sdg").join("absent")).exists());
}
