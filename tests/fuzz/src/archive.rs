//! The archive reader: nothing lands outside of the folder, whatever the archive says.

use flate2::Compression;
use flate2::write::GzEncoder;
use ilab_objects::archive;
use std::io::Write;

/// Reads the bytes as an archive, and as a tape that still has to be packed: a changed byte of a deflated stream says little.
///
/// # Panics
/// When a member has a path that leaves its folder.
pub fn archive(data: &[u8]) {
    check(data);
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    if packed.write_all(data).is_ok()
        && let Ok(packed) = packed.finish()
    {
        check(&packed);
    }
}

fn check(bytes: &[u8]) {
    let Ok(contents) = archive::read("fuzz", bytes, None) else { return };
    for file in &contents.files {
        let path = std::path::Path::new(&file.path);
        let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        assert!(inside && archive::TOP.iter().any(|top| path.starts_with(top)), "{}", file.path);
    }
}
