//! Archives as the workflow needs them, and archives that try to leave their folder.

use flate2::{Compression, write::GzEncoder};
use ilab_objects::archive::read;
use std::io::Write;
use std::path::Path;
use tar::{Builder, EntryType, Header};

type Tar = Builder<GzEncoder<Vec<u8>>>;

fn file(tar: &mut Tar, path: &str, content: &[u8]) {
    raw(tar, path, EntryType::Regular, "", content);
}

/// Writes a member whose name and link are not checked, as an attacker would.
fn raw(tar: &mut Tar, path: &str, kind: EntryType, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o4755);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

fn good(tar: &mut Tar) {
    for path in [
        "model/config.json",
        "model/tokenizer.json",
        "./model/tokenizer_config.json",
        "model/model-00001.safetensors",
        "data/skills_recipe_1.yaml",
        "data/knowledge_recipe_1.yaml",
        "data/skills_train_msgs_1.jsonl",
        "data/knowledge_train_msgs_1.jsonl",
        "taxonomy/knowledge/a/qna.yaml",
        "taxonomy/foundational_skills/b/qna.yaml",
    ] {
        file(tar, path, b"content");
    }
}

fn archive(more: impl FnOnce(&mut Tar)) -> Vec<u8> {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    good(&mut tar);
    more(&mut tar);
    tar.into_inner().unwrap().finish().unwrap()
}

/// Unpacks into `in/` of a fresh folder and shows that nothing appeared beside it.
fn unpack(bytes: &[u8]) -> Result<(usize, tempfile::TempDir), String> {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("in");
    std::fs::create_dir(&into).unwrap();
    let result = read("test.tar.gz", bytes, Some(&into));
    let beside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(beside, ["in"], "something was written outside");
    let checked = read("test.tar.gz", bytes, None);
    if let Ok(unpacked) = &result {
        assert_eq!(unpacked, checked.as_ref().unwrap(), "checking and unpacking must agree");
    }
    result.map(|c| (c.files.len(), folder)).map_err(|e| e.to_string())
}

fn refused(bytes: &[u8], why: &str) {
    match unpack(bytes) {
        Ok(_) => panic!("was unpacked, should have been refused because it {why}"),
        Err(e) => assert!(e.contains(why), "{e:?} does not say {why:?}"),
    }
}

#[test]
fn a_sound_archive_is_unpacked_whole_and_set_uid_is_dropped() {
    use std::os::unix::fs::PermissionsExt;
    let (files, folder) = unpack(&archive(|_| ())).unwrap();
    assert_eq!(files, 10);
    let path = folder.path().join("in/model/config.json");
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn members_that_leave_the_folder_are_refused() {
    refused(&archive(|t| file(t, "data/../../evil", b"x")), "leaves the archive");
    refused(&archive(|t| file(t, "/etc/evil", b"x")), "absolute path");
    refused(&archive(|t| raw(t, "data/fifo", EntryType::Fifo, "", b"")), "not a file, folder or link");
    refused(&archive(|t| raw(t, "data/dev", EntryType::Char, "", b"")), "not a file, folder or link");
}

#[test]
fn links_that_leave_the_folder_are_refused() {
    refused(&archive(|t| raw(t, "data/l", EntryType::Symlink, "/etc", b"")), "points out of the archive");
    refused(&archive(|t| raw(t, "data/l", EntryType::Symlink, "../../x", b"")), "points out of the archive");
    refused(&archive(|t| raw(t, "data/l", EntryType::Link, "/etc/passwd", b"")), "points out of the archive");
    refused(
        &archive(|t| raw(t, "data/l", EntryType::Link, "../in/model/config.json", b"")),
        "points out of the archive",
    );
    refused(
        &archive(|t| raw(t, "data/l", EntryType::Symlink, "nowhere", b"")),
        "outside the archive or not in it",
    );
    // Each link alone stays inside as text; together they leave.
    refused(
        &archive(|t| {
            file(t, "data/x/y/f", b"");
            raw(t, "data/x/y/up", EntryType::Symlink, "../..", b"");
            raw(t, "data/x/y/out", EntryType::Symlink, "up/../../in/..", b"");
        }),
        "outside the archive or not in it",
    );
}

#[test]
fn nothing_is_written_through_a_link() {
    refused(
        &archive(|t| {
            raw(t, "data/l", EntryType::Symlink, "../model", b"");
            file(t, "data/l/config.json", b"overwritten");
        }),
        "cannot be made",
    );
    refused(
        &archive(|t| {
            raw(t, "data/l", EntryType::Symlink, "../model", b"");
            raw(t, "data/l/m", EntryType::Symlink, "config.json", b"");
        }),
        "behind another link",
    );
}

#[test]
fn links_inside_are_kept() {
    let bytes = archive(|t| {
        raw(t, "taxonomy/link", EntryType::Symlink, "knowledge/a", b"");
        raw(t, "data/same", EntryType::Link, "model/config.json", b"");
    });
    let (_, folder) = unpack(&bytes).unwrap();
    assert!(folder.path().join("in/taxonomy/link/qna.yaml").exists());
    assert_eq!(std::fs::read(folder.path().join("in/data/same")).unwrap(), b"content");
}

#[test]
fn what_is_missing_is_listed_at_once() {
    let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    file(&mut tar, "data/skills_recipe_1.yaml", b"x");
    file(&mut tar, "model/config.json", b"");
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let error = unpack(&bytes).unwrap_err();
    for part in
        ["model/config.json", "model/*.safetensors", "data/knowledge_train_*.jsonl", "taxonomy/knowledge/"]
    {
        assert!(error.contains(part), "{error} does not name {part}");
    }
    assert!(!error.contains("skills_recipe"));
}

#[test]
fn broken_streams_are_told_apart() {
    let bytes = archive(|t| file(t, "data/big", &vec![7; 300_000]));
    refused(&bytes[..bytes.len() / 2], "truncated");
    refused(&bytes[..bytes.len() - 4], "truncated");
    refused(b"this is text, not gzip at all", "is not gzip-compressed");
    let mut flipped = bytes.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    refused(&flipped, "is damaged");
    let mut plain = GzEncoder::new(Vec::new(), Compression::fast());
    plain.write_all(&[b'x'; 2000]).unwrap();
    refused(&plain.finish().unwrap(), "test.tar.gz");
}

#[test]
fn other_top_level_members_are_passed_over() {
    let bytes = archive(|t| file(t, "ilab/record.json", b"forged"));
    let folder = tempfile::tempdir().unwrap();
    let contents = read("a", bytes.as_slice(), Some(folder.path())).unwrap();
    assert_eq!(contents.ignored, 1);
    assert!(!Path::new(&folder.path().join("ilab")).exists());
}
