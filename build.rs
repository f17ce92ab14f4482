//! Names the sources that decide what is found and where, so that what an older program remembers
//! of a repository is not taken for what this one would find.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// What the outcome of a search depends on.
const SOURCES: &[&str] = &["Cargo.lock", "rules", "src"];

fn files(path: &Path, all: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        return all.push(path.to_owned());
    }
    for entry in fs::read_dir(path).expect("a directory of the sources") {
        files(&entry.expect("an entry of it").path(), all);
    }
}

fn main() {
    let mut all = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        files(Path::new(source), &mut all);
    }
    all.sort();
    // Nobody forges sources to meet a hash; it only has to change with them.
    let mut hash = DefaultHasher::new();
    for path in all {
        path.hash(&mut hash);
        fs::read(&path).unwrap_or_default().hash(&mut hash);
    }
    println!("cargo::rustc-env=SKEWER_LOGIC={:016x}", hash.finish());
}
