//! The end of what a container printed, kept in case nobody can be asked for it later.

use std::collections::VecDeque;

/// The last lines, bounded in bytes and, where asked, in number.
#[derive(Debug)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    most: usize,
}

impl Tail {
    /// Keeps at most this many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, most }
    }

    pub(crate) fn push(&mut self, line: &str) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.bytes > self.most {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes -= gone.len() + 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The last `count` lines.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count)).cloned().collect()
    }

    /// Everything that was kept.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes);
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept_in_whole_lines() {
        let mut tail = Tail::new(8);
        for line in ["aaa", "bbb", "ccc"] {
            tail.push(line);
        }
        assert_eq!(tail.text(), "bbb\nccc\n");
        assert_eq!(tail.last(1), ["ccc"]);
        tail.push("longer than all of it");
        assert!(tail.is_empty());
    }
}
