//! The house rules that `ARCHITECTURE.md` states, checked against the sources.

mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use code::{Source, sources};

/// The rooms by layer. Imports point to lower layers only.
const LAYERS: &[&[&str]] = &[
    &[
        "secret", "finding", "coverage", "account", "clock", "verdict", "disk", "process",
    ],
    &[
        "rules", "config", "cluster", "swarm", "suppress", "cache", "repo", "http", "openai",
        "store", "rollout", "report", "audit",
    ],
    &["matcher", "unpack", "verify"],
    &["examine", "rotate"],
    &["source", "history"],
    &["scan"],
    &["policy", "hooks", "sandbox"],
    &["cli"],
];

/// Imports between rooms of one layer: what stands on the left may name what stands on the right.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("finding", "secret"),
    ("coverage", "secret"),
    ("account", "secret"),
    ("process", "secret"),
    ("cluster", "config"),
    ("cluster", "http"),
    ("swarm", "config"),
    ("swarm", "http"),
    ("store", "cluster"),
    ("store", "swarm"),
    ("rollout", "swarm"),
    ("rollout", "cluster"),
    ("rollout", "store"),
    ("store", "config"),
    ("rollout", "config"),
    ("audit", "config"),
    ("verdict", "secret"),
    ("openai", "http"),
    ("store", "http"),
    ("rollout", "http"),
];

/// Rooms that talk to the network. A scan reaches none of them.
const NETWORK: &[&str] = &[
    "http", "cluster", "swarm", "openai", "verify", "store", "rollout", "rotate",
];

/// What opens connections, or brings a runtime that does.
const CONNECTS: &[&str] = &[
    "std::net",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "reqwest",
    "hyper",
    "tokio",
    "ureq",
];

/// What only `cli` does. (`env::split_paths` reads no environment.)
const OUTSIDE: &[&str] = &[
    "print!",
    "println!",
    "eprint!",
    "eprintln!",
    "dbg!",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "process::exit",
    "process::abort",
    "env::var",
    "env::var_os",
    "env::vars",
    "env::vars_os",
    "env::args",
    "env::args_os",
    "env::current_dir",
    "env::current_exe",
    "env::temp_dir",
    "home_dir",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
];

/// Files that may say `unsafe`, each with its reason beside the word.
const UNSAFE: &[&str] = &["history/map.rs"];

const LONGEST_FILE: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn house() -> Vec<Source> {
    sources(&root().join("src"))
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

fn is_lobby(source: &Source) -> bool {
    matches!(source.path.as_str(), "lib.rs" | "main.rs")
}

fn upward_imports(house: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in house.iter().filter(|s| !is_lobby(s)) {
        let room = source.room();
        let Some(from) = layer(room) else {
            wrong.push(format!(
                "src/{}: the room {room} has no layer; give it one in tests/house",
                source.path
            ));
            continue;
        };
        for named in source.imports().iter().filter(|named| *named != room) {
            // A name that is no room is an item of lib.rs, which has none but rooms.
            let fits = match layer(named) {
                Some(to) => to < from || NEIGHBOURS.contains(&(room, named.as_str())),
                None => false,
            };
            if !fits {
                wrong.push(format!("src/{}: {room} imports {named}", source.path));
            }
        }
    }
    wrong
}

/// Every room that `from` reaches through imports, itself included.
fn reached(house: &[Source], from: &str) -> BTreeSet<String> {
    let mut edges: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in house {
        edges
            .entry(source.room())
            .or_default()
            .extend(source.imports());
    }
    let mut seen = BTreeSet::new();
    let mut todo = vec![from.to_owned()];
    while let Some(room) = todo.pop() {
        if seen.insert(room.clone()) {
            todo.extend(edges.get(room.as_str()).into_iter().flatten().cloned());
        }
    }
    seen
}

fn network_under(house: &[Source], room: &str) -> Vec<String> {
    let rooms = reached(house, room);
    let mut wrong: Vec<String> = NETWORK
        .iter()
        .filter(|n| rooms.contains(**n))
        .map(|n| format!("{room} reaches {n}"))
        .collect();
    for source in house.iter().filter(|s| rooms.contains(s.room())) {
        wrong.extend(CONNECTS.iter().flat_map(|word| source.places(word)));
    }
    wrong
}

fn git_crates_elsewhere(house: &[Source]) -> Vec<String> {
    let names_git = |source: &&Source| !matches!(source.room(), "repo" | "history");
    let words = ["git2::", "libgit2_sys::", "gix::"];
    let mut wrong = Vec::new();
    for source in house.iter().filter(names_git) {
        wrong.extend(words.iter().flat_map(|word| source.places(word)));
        let lines = source.code.lines().enumerate();
        wrong.extend(
            lines
                .filter(|(_, line)| {
                    line.contains("gix_") || line.trim_start().starts_with("use git2")
                })
                .map(|(n, _)| format!("src/{}:{}: a git crate", source.path, n + 1)),
        );
    }
    wrong
}

fn outside_world(house: &[Source]) -> Vec<String> {
    let inner = house
        .iter()
        .filter(|s| s.room() != "cli" && s.path != "main.rs");
    inner
        .flat_map(|s| OUTSIDE.iter().flat_map(|word| s.places(word)))
        .collect()
}

fn assert_none(wrong: Vec<String>, rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n  {}", wrong.join("\n  "));
}

#[test]
fn imports_point_downward() {
    assert_none(upward_imports(&house()), "rooms import lower layers only");
}

#[test]
fn a_scan_cannot_reach_the_network() {
    let house = house();
    for room in [
        "scan", "source", "history", "examine", "matcher", "unpack", "report", "repo",
    ] {
        assert_none(
            network_under(&house, room),
            "a scan never touches the network",
        );
    }
}

#[test]
fn the_sandbox_and_the_client_are_strangers() {
    // A mistake that both share would be seen by neither.
    let house = house();
    for room in NETWORK {
        assert!(
            !reached(&house, "sandbox").contains(*room),
            "the sandbox reaches {room}"
        );
        assert!(
            !reached(&house, room).contains("sandbox"),
            "{room} reaches the sandbox"
        );
    }
}

#[test]
fn git_crates_stay_in_their_rooms() {
    assert_none(
        git_crates_elsewhere(&house()),
        "only repo and history name git crates",
    );
}

#[test]
fn only_the_command_line_touches_the_outside() {
    assert_none(
        outside_world(&house()),
        "no room but cli prints, exits, reads the environment or the clock",
    );
}

#[test]
fn main_only_maps_an_outcome_to_an_exit_status() {
    let house = house();
    let main = house
        .iter()
        .find(|s| s.path == "main.rs")
        .expect("a program has a main.rs");
    assert_none(
        main.imports()
            .into_iter()
            .filter(|room| room != "cli")
            .collect(),
        "main.rs names only cli",
    );
    assert!(
        main.lines_outside_tests() <= 40,
        "main.rs grows: what it does belongs into cli"
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = house().into_iter().filter(|s| !s.text.starts_with("//! "));
    assert_none(
        silent.map(|s| format!("src/{}", s.path)).collect(),
        "a file begins with //!",
    );
}

#[test]
fn files_stay_short() {
    let house = house();
    let long = house
        .iter()
        .filter(|s| s.lines_outside_tests() > LONGEST_FILE);
    assert_none(
        long.map(|s| format!("src/{}: {} lines", s.path, s.lines_outside_tests()))
            .collect(),
        "find the parts of a long file",
    );
}

#[test]
fn nothing_panics_for_convenience() {
    let words = [
        ".unwrap()",
        ".unwrap_err()",
        "todo!",
        "unimplemented!",
        "panic!",
    ];
    let wrong = house()
        .iter()
        .flat_map(|s| words.iter().flat_map(|w| s.places(w)))
        .collect();
    assert_none(wrong, "outside tests, expect() says why it can't fail");
}

#[test]
fn unsafe_code_is_named() {
    let house = house();
    let others = house.iter().filter(|s| !UNSAFE.contains(&s.path.as_str()));
    assert_none(
        others.flat_map(|s| s.places("unsafe")).collect(),
        "unsafe code needs a name in tests/house",
    );
    for path in UNSAFE {
        let source = house
            .iter()
            .find(|s| s.path == *path)
            .unwrap_or_else(|| panic!("{path} is gone"));
        assert!(
            !source.places("unsafe").is_empty(),
            "{path} needs no place in this list any more"
        );
        assert!(
            source.text.contains("SAFETY:"),
            "{path} does not say why it is sound"
        );
    }
}

#[test]
fn a_registry_is_the_only_one_that_names_its_entries() {
    // A new format, decoder or store is one file and one line in its room's mod.rs: nobody else
    // can name the file, because its module is private.
    let house = house();
    let mut wrong = Vec::new();
    for room in ["report", "unpack", "store", "rollout", "matcher", "rules"] {
        let path = format!("{room}/mod.rs");
        let registry = house.iter().filter(|s| s.path == path);
        wrong.extend(registry.flat_map(|s| s.places("pub mod")));
    }
    assert_none(wrong, "the modules of a registry's entries are private");
    let rules = house
        .iter()
        .find(|s| s.path == "rules/mod.rs")
        .expect("the rules have a room");
    for entry in std::fs::read_dir(root().join("rules")).expect("rules/ is part of the package") {
        let name = entry
            .expect("it can be read")
            .file_name()
            .into_string()
            .expect("a plain name");
        let embedded = format!("rules/{name}\")");
        assert_eq!(
            rules.text.matches(&embedded).count(),
            1,
            "{name} is not embedded in rules/mod.rs once"
        );
    }
}

#[test]
fn this_repository_holds_no_key() {
    let files = tracked_files();
    assert!(files.len() > 10, "nothing to look at");
    let matcher = skewer::matcher::Matcher::new(&skewer::rules::Rules::built_in(), None);
    let mut wrong = Vec::new();
    for file in files {
        let name = matcher.search_all(file.as_bytes());
        // A link, or a file that is deleted but not yet committed, has nothing to read.
        let content = std::fs::read(root().join(&file)).unwrap_or_default();
        for hit in name.into_iter().chain(matcher.search_all(&content)) {
            let line = content[..hit.span.start.min(content.len())]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            wrong.push(format!(
                "{file}:{line}: {} {}",
                hit.rule.id,
                hit.secret.mask()
            ));
        }
    }
    assert_none(wrong, "keys are made at run time from templates");
}

#[test]
fn no_snapshot_waits_for_review() {
    let waiting = tracked_files()
        .into_iter()
        .filter(|f| f.ends_with(".pending-snap") || f.ends_with(".snap.new"));
    assert_none(
        waiting.collect(),
        "review it with cargo insta, or remove it",
    );
}

/// What git tracks and what it would add; outside a checkout, the sources.
fn tracked_files() -> Vec<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let names = output.stdout.split(|b| *b == 0).filter(|n| !n.is_empty());
            names
                .map(|n| String::from_utf8_lossy(n).into_owned())
                .collect()
        }
        _ => house()
            .into_iter()
            .map(|s| format!("src/{}", s.path))
            .collect(),
    }
}

#[test]
fn the_checks_see_what_they_are_for() {
    let file = |path: &str, text: &str| Source::new(path, text);
    let house = [
        file("lib.rs", "//! x\npub mod scan;\n"),
        file(
            "scan/mod.rs",
            "use crate::{\n  examine::{Deep, a::B},\n  source as s,\n};\n",
        ),
        file(
            "examine/mod.rs",
            "fn f() { let s = \"crate::cli\"; super::matcher::go(); } // crate::cli\n",
        ),
        file(
            "examine/part.rs",
            "use super::matcher; /* crate::cli */ use super::super::rules;\n",
        ),
        file(
            "source/tree.rs",
            "use crate::verify::Verdict;\nfn f() { let c = '\"'; println!(\"x\") }\n",
        ),
        file(
            "matcher/mod.rs",
            "#[cfg(test)]\nmod tests {\n use crate::cli; fn f() { x.unwrap(); println!(); }\n}\nfn g<'a>(x: &'a str) { std::env::var(\"HOME\"); }\n",
        ),
        file(
            "rules/mod.rs",
            "use crate::matcher::M;\nuse crate::config::C;\n",
        ),
        file("attic.rs", "use git2::Repository;\n"),
    ];
    assert_eq!(house[1].imports(), ["examine", "source"]);
    assert_eq!(house[2].imports(), ["matcher"]);
    assert_eq!(house[3].imports(), ["rules"]);
    assert_eq!(
        upward_imports(&house),
        [
            "src/rules/mod.rs: rules imports config",
            "src/rules/mod.rs: rules imports matcher",
            "src/attic.rs: the room attic has no layer; give it one in tests/house",
        ]
    );
    assert_eq!(network_under(&house, "scan"), ["scan reaches verify"]);
    assert_eq!(
        git_crates_elsewhere(&house),
        ["src/attic.rs:1: git2::", "src/attic.rs:1: a git crate"]
    );
    let outside = outside_world(&house);
    assert!(
        outside.contains(&"src/source/tree.rs:2: println!".to_owned()),
        "{outside:?}"
    );
    assert!(
        outside.contains(&"src/matcher/mod.rs:5: env::var".to_owned()),
        "{outside:?}"
    );
    assert!(
        !outside.iter().any(|place| place.contains("mod.rs:3")),
        "{outside:?}"
    );
    assert!(house[5].places(".unwrap()").is_empty());
}
