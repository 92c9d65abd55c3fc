//! What the compile cache remembers about a compiled component: a few lines of text beside it.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// First line of a record; another format gets another one.
const FORMAT: &str = "ilab-host compiled component 1";

/// What the record of a component tells.
pub(crate) struct Record {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    /// What the file looked like when it was last found whole.
    pub(crate) stamp: Option<String>,
}

impl Record {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FORMAT {
            return None;
        }
        let sha256 = lines.next()?.to_owned();
        let size = lines.next()?.parse().ok()?;
        let stamp = lines.next().map(str::to_owned);
        let hex = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (hex && lines.next().is_none()).then_some(Self { sha256, size, stamp })
    }

    pub(crate) fn text(&self) -> String {
        let Self { sha256, size, stamp } = self;
        let stamp = stamp.as_ref().map(|s| format!("{s}\n")).unwrap_or_default();
        format!("{FORMAT}\n{sha256}\n{size}\n{stamp}")
    }
}

/// What changes when a file is written, replaced or moved to another file system.
pub(crate) fn stamp(meta: &fs::Metadata) -> String {
    let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
    format!("{} {} {} {}", meta.dev(), meta.ino(), meta.len(), times.map(|t| t.to_string()).join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_parsed_strictly() {
        let sha256 = "0".repeat(64);
        let good = format!("{FORMAT}\n{sha256}\n5\n");
        assert_eq!(Record::parse(&good).unwrap().text(), good);
        let stamped = format!("{good}1 2 3\n");
        assert_eq!(Record::parse(&stamped).unwrap().text(), stamped);
        for bad in ["", "x", &good.replace('0', "/"), &good.replace('5', "-5"), &format!("{stamped}more\n")] {
            assert!(Record::parse(bad).is_none(), "{bad}");
        }
    }
}
