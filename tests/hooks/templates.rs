//! What is offered for CI and servers: it has to fit the program it is shipped with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{SKEWER, Sandbox, key, script, skipped};

const TEMPLATES: [&str; 3] = [
    ".pre-commit-hooks.yaml",
    "hooks/github/action.yml",
    "hooks/gitlab/skewer.gitlab-ci.yml",
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn help(command: &[&str]) -> String {
    let output = Command::new(SKEWER)
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The program's own options in a template: those on its command lines, continued ones included.
fn options(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().filter(|line| {
        !line.trim_start().starts_with('#')
            && (line.contains("skewer scan ") || line.contains("skewer\" scan "))
    });
    let words = lines.flat_map(|line| line.split("scan ").nth(1).unwrap().split_whitespace());
    words
        .filter_map(|word| Some(&word[word.find("--")?..]))
        .filter(|word| word.len() > 2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_option_exists_and_none_reveals() {
    let known = help(&["scan"]);
    for template in TEMPLATES {
        let text = fs::read_to_string(top().join(template)).unwrap();
        assert!(!text.contains("--reveal"), "{template}");
        let options = options(&text);
        assert!(!options.is_empty(), "{template}");
        for option in options {
            assert!(
                known.contains(&format!("{option} ")) || known.contains(&format!("{option}\n")),
                "{template}: {option}"
            );
        }
    }
    for template in &TEMPLATES[1..] {
        let text = fs::read_to_string(top().join(template)).unwrap();
        for part in [
            "--no-ignore",
            "--suppress-from",
            "--format",
            "--output",
            "--locked",
        ] {
            assert!(text.contains(part), "{template}: {part}");
        }
    }
}

#[test]
fn the_frameworks_hooks_are_commands_of_ours() {
    let text = fs::read_to_string(top().join(TEMPLATES[0])).unwrap();
    let entries: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("entry: skewer "))
        .collect();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        let words: Vec<_> = entry
            .split_whitespace()
            .take_while(|word| !word.starts_with('-'))
            .collect();
        help(&words);
    }
    assert_eq!(text.matches("require_serial: true").count(), 3);
}

#[test]
fn the_yaml_is_yaml() {
    let Ok(there) = Command::new("python3").args(["-c", "import yaml"]).output() else {
        skipped("no python3, so the YAML was not parsed");
        return;
    };
    if !there.status.success() {
        skipped("no PyYAML, so the YAML was not parsed");
        return;
    }
    for template in TEMPLATES {
        let code = "import sys, yaml; yaml.safe_load(open(sys.argv[1]))";
        let said = Command::new("python3")
            .args(["-c", code, template])
            .current_dir(top())
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "{template}: {}",
            String::from_utf8_lossy(&said.stderr)
        );
    }
}

#[test]
fn the_servers_sample_refuses_a_key() {
    let sandbox = Sandbox::new();
    let server = sandbox.repository("server.git", &["--bare"]);
    let repo = sandbox.repository("repo", &[]);
    let text = fs::read_to_string(top().join("hooks/server/pre-receive")).unwrap();
    script(&server.join("hooks/pre-receive"), &text);
    let push = ["push", "-q", server.to_str().unwrap(), "main"];
    let set = [("SKEWER", SKEWER)];
    sandbox.git_with(&repo, &push, &set).passes();
    sandbox.stage(&repo, "k", &key(1));
    sandbox.git(&repo, &["commit", "-qm", "k"]).passes();
    sandbox.git_with(&repo, &push, &set).stopped_by(&key(1));
    let gone: PathBuf = sandbox.path("gone");
    let said = sandbox.git_with(&repo, &push, &[("SKEWER", gone.to_str().unwrap())]);
    assert!(
        said.code != 0 && said.text.contains("nothing was checked"),
        "{}",
        said.text
    );
}
