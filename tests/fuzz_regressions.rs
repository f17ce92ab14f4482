//! Replays what the fuzzers found (`fuzz/regressions/TARGET/`), so that it stays mended, and a few
//! inputs that are worth keeping.
#![allow(unexpected_cfgs)] // the targets ask whether cargo-fuzz builds them
#![allow(clippy::duplicate_mod)] // and each has what they share as a module of its own

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../fuzz/fuzz_targets/containers.rs"]
mod containers;
#[path = "../fuzz/fuzz_targets/delta.rs"]
mod delta;
#[path = "../fuzz/fuzz_targets/index.rs"]
mod index;
#[path = "../fuzz/fuzz_targets/loose.rs"]
mod loose;
#[path = "../fuzz/fuzz_targets/matcher.rs"]
mod matcher;
#[path = "../fuzz/fuzz_targets/pack.rs"]
mod pack;
#[path = "../fuzz/fuzz_targets/refs.rs"]
mod refs;
#[path = "../fuzz/fuzz_targets/rules.rs"]
mod rules;
#[path = "../fuzz/fuzz_targets/stream.rs"]
mod stream;
#[path = "../fuzz/fuzz_targets/template.rs"]
mod template;

type Target = (&'static str, fn(&[u8]));

/// A new target is one line here, one above, one file and one `[[bin]]` in `fuzz/`.
const TARGETS: &[Target] = &[
    ("containers", containers::check),
    ("delta", delta::check),
    ("index", index::check),
    ("loose", loose::check),
    ("matcher", matcher::check),
    ("pack", pack::check),
    ("refs", refs::check),
    ("rules", rules::check),
    ("stream", stream::check),
    ("template", template::check),
];

/// What was slow took minutes in a build like the tests'; nothing that is kept takes a second.
const LONGEST: Duration = Duration::from_secs(60);

fn fuzz() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fuzz().join(dir)).expect("fuzz/ is part of the repository");
    let stems = entries.map(|entry| {
        let path = entry.expect("it can be listed").path();
        path.file_stem()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned()
    });
    let mut stems: Vec<_> = stems.collect();
    stems.sort();
    stems
}

#[test]
fn every_target_is_replayed() {
    let replayed: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), replayed);
    assert_eq!(names("regressions"), replayed);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in replayed {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} has no [[bin]]"
        );
    }
}

#[test]
fn what_was_found_stays_mended() {
    for (name, check) in TARGETS {
        let mut count = 0;
        for file in std::fs::read_dir(fuzz().join("regressions").join(name)).unwrap() {
            let file = file.unwrap().path();
            let began = Instant::now();
            check(&std::fs::read(&file).unwrap());
            let took = began.elapsed();
            println!("{} {took:?}", file.display());
            assert!(took < LONGEST, "{} takes {took:?}", file.display());
            count += 1;
        }
        assert!(
            count > 0,
            "{name} has no input: keep at least one that reaches deep"
        );
    }
}

/// A small fuzzer, for where cargo-fuzz is not installed: mutants of what is kept, some now, as many
/// as fit into `SKEWER_FUZZ_SECONDS` for each target if that is set. A mutant that fails is printed.
#[test]
fn mutants_of_what_is_kept_do_no_harm() {
    let seconds = std::env::var("SKEWER_FUZZ_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse::<u64>().ok());
    for (name, check) in TARGETS {
        let files = std::fs::read_dir(fuzz().join("regressions").join(name)).unwrap();
        let kept: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .filter(|kept| kept.len() < 4096)
            .collect();
        let began = Instant::now();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut count = 0u64;
        while match seconds {
            Some(seconds) => began.elapsed().as_secs() < seconds,
            None => count < 40,
        } {
            let mutant = random.mutant(&kept);
            let failed = std::panic::catch_unwind(|| check(&mutant)).is_err();
            assert!(!failed, "{name} fails for {mutant:?}");
            count += 1;
        }
        println!("{name}: {count} mutants");
    }
}

/// Marsaglia's xorshift: the same numbers every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }

    fn mutant(&mut self, kept: &[Vec<u8>]) -> Vec<u8> {
        let empty = Vec::new();
        let mut mutant = kept.get(self.below(kept.len())).unwrap_or(&empty).clone();
        for _ in 0..1 + self.below(6) {
            let at = self.below(mutant.len() + 1);
            match self.below(6) {
                0 => mutant.insert(at, self.below(256) as u8),
                1 if at < mutant.len() => drop(mutant.remove(at)),
                2 => {
                    let other = kept.get(self.below(kept.len())).unwrap_or(&empty);
                    let from = self.below(other.len() + 1);
                    let to = from + self.below(other.len() - from + 1);
                    mutant.splice(at..at, other[from..to].iter().copied());
                }
                3 => mutant.truncate(at),
                _ if at < mutant.len() => {
                    let edges = [0, 1, 0x7f, 0x80, 0xff];
                    mutant[at] = match self.below(3) {
                        0 => edges[self.below(edges.len())],
                        1 => mutant[at] ^ (1 << self.below(8)),
                        _ => self.below(256) as u8,
                    };
                }
                _ => mutant.extend((0..self.below(20)).map(|n| (n * 37) as u8)),
            }
        }
        mutant.truncate(8192);
        if self.below(8) != 0 {
            containers::sums::mend(&mut mutant);
        }
        mutant
    }
}
