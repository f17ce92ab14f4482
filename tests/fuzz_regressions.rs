//! Replays what the fuzzers found (`fuzz/regressions/TARGET/`), so that it stays mended, and a few
//! inputs that are worth keeping. Written by `cargo +nightly fuzz run TARGET` as artifacts.
#![allow(unexpected_cfgs)] // the targets ask whether cargo-fuzz builds them

use std::path::Path;

#[path = "../fuzz/fuzz_targets/containers.rs"]
mod containers;
#[path = "../fuzz/fuzz_targets/matcher.rs"]
mod matcher;
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
    ("matcher", matcher::check),
    ("rules", rules::check),
    ("stream", stream::check),
    ("template", template::check),
];

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
            println!("{}", file.display());
            check(&std::fs::read(file).unwrap());
            count += 1;
        }
        assert!(
            count > 0,
            "{name} has no input: keep at least one that reaches deep"
        );
    }
}
