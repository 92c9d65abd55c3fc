//! What this program has found out once and need not find out at every start, in files beside the compiled components.
//!
//! A component's descriptors are constant, and to ask for them, to parse them and to check every schema in them is most of
//! what a start costs that compiles nothing. They are believed as far as the compiled code is: the folder is ours alone.
//! What is in order is a question of this program's rules, so what another build of it wrote down counts for nothing.

use crate::cache::{open, temporary_in};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// First line of a file; another format gets another one.
const FORMAT: &str = "ilab-host memory 1";
/// More than the largest component may say of itself, or anybody else.
const LIMIT: u64 = 16 << 20;

/// One thing that is remembered.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    /// This build of the program.
    program: String,
}

impl Memory {
    pub(crate) fn at(path: PathBuf, program: String) -> Self {
        Self { path, program }
    }

    /// What was written down by this build of the program, whole.
    #[must_use]
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let file = open(&self.path).ok()?;
        let size = file.metadata().ok()?.len().min(LIMIT);
        // One more, so that the end is seen without asking for more room.
        let mut text = String::with_capacity(usize::try_from(size).ok()? + 1);
        file.take(LIMIT).read_to_string(&mut text).ok()?;
        let text = text.strip_prefix(FORMAT)?.strip_prefix('\n')?;
        let (program, text) = text.split_once('\n')?;
        let (sha256, json) = text.split_once('\n')?;
        let whole = program == self.program && digest(json) == sha256;
        whole.then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// Writes it down, whole or not at all, in the place of what was there.
    ///
    /// # Errors
    /// When the file cannot be written. What is not remembered is only found out again.
    pub fn write<T: Serialize>(&self, what: &T) -> io::Result<()> {
        let json = serde_json::to_string(what)?;
        let sha256 = digest(&json);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = temporary_in(folder)?;
        write!(file, "{FORMAT}\n{}\n{sha256}\n{json}", self.program)?;
        file.persist(&self.path).map(drop).map_err(|e| e.error)
    }
}

/// SHA-256 as hex.
fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_program_wrote_down_whole_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::at(folder.path().join("x.stages"), "this build".to_owned());
        let read = |memory: &Memory| memory.read::<Vec<String>>();
        assert_eq!(read(&memory), None, "nothing is there");
        let stages = vec!["A stage".to_owned()];
        memory.write(&stages).unwrap();
        assert_eq!(read(&memory), Some(stages));

        let other = Memory { path: memory.path.clone(), program: "another build".to_owned() };
        assert_eq!(read(&other), None);

        let text = std::fs::read_to_string(&memory.path).unwrap();
        std::fs::write(&memory.path, text.replace("A stage", "Astage ")).unwrap();
        assert_eq!(read(&memory), None, "changed");
        std::fs::write(&memory.path, &text[..text.len() - 1]).unwrap();
        assert_eq!(read(&memory), None, "cut off");

        std::fs::write(&memory.path, &text).unwrap();
        let link = folder.path().join("link.stages");
        std::os::unix::fs::symlink(&memory.path, &link).unwrap();
        assert_eq!(read(&Memory { path: link, program: memory.program.clone() }), None, "a link");
    }
}
