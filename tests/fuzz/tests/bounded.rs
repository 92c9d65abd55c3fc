//! A bounded run: the corpus as it is, then inputs made from it, the same in every run. `ILAB_FUZZ_EXECUTIONS` is how many a target.

use ilab_fuzz_targets::TARGETS;
use std::path::Path;

const EXECUTIONS: u64 = 2_000;

/// Small and repeatable: what is found once is found again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }
}

/// A change as fuzzers make it: bytes flipped, cut out, doubled, or taken from another input.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len());
        let end = (at + 1 + random.below(16)).min(data.len());
        match random.below(5) {
            0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
            1 if !data.is_empty() => data[at] = random.next().to_le_bytes()[0],
            2 if !data.is_empty() => drop(data.drain(at..end)),
            3 if !data.is_empty() => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                let piece = &other[from..(from + 1 + random.below(64)).min(other.len())];
                data.splice(at..at, piece.iter().copied());
            }
        }
    }
    data
}

#[test]
fn no_target_breaks_a_promise() {
    let executions = std::env::var("ILAB_FUZZ_EXECUTIONS").map_or(EXECUTIONS, |text| text.parse().unwrap());
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert!(corpus.len() >= 3, "{name} has a corpus of {}", corpus.len());
        corpus.iter().for_each(|input| target(input));
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..executions {
            let input = mutate(&mut random, &corpus);
            if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
                std::fs::write(&kept, &input).unwrap();
                eprintln!("{name}: the input is in {}", kept.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}
