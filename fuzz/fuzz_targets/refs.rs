//! Refs, packed refs, logs of refs, an index, the list of a shallow clone: any bytes in the place of
//! each, around one commit that a key is in.
#![cfg_attr(fuzzing, no_main)]

#[path = "../scratch.rs"]
mod scratch;

use std::sync::LazyLock;

use scratch::{Scratch, stored};
use skewer::rules::Template;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

static COMMIT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let template = Template::parse("sk-proj-{long:74,74}").expect("a constant");
    let text = format!(
        "tree {0}\nparent {0}\nauthor A <a> 1 +0\ncommitter A <a> 1 +0\n\n{1}\n",
        "1".repeat(40),
        template.fill(1).key
    );
    [
        format!("commit {}\0", text.len()).as_bytes(),
        text.as_bytes(),
    ]
    .concat()
});

/// The files, one after another, with zero bytes between them.
pub(crate) fn check(data: &[u8]) {
    let repository = Scratch::new();
    let commit = "1".repeat(38);
    repository.write(&format!("objects/11/{commit}"), &stored(&COMMIT));
    let names = [
        "HEAD",
        "packed-refs",
        "refs/heads/main",
        "logs/HEAD",
        "shallow",
        "refs/tags/deep/er",
        "worktrees/one/HEAD",
        "index",
    ];
    for (name, content) in names.iter().zip(data.split(|byte| *byte == 0)) {
        repository.write(name, content);
    }
    let outcome = repository.audit();
    let objects = outcome
        .findings
        .iter()
        .filter(|one| one.location.to_string().contains("commit"));
    assert!(
        objects.count() >= 1,
        "what refs say has no say in what is found"
    );
}
