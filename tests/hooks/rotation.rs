//! The job that rotates: what GitLab would read, what its shell would run, what we would be asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};
use skewer::config::{Outer, Surroundings, read};
use skewer::secret::Secret;
use skewer::{http, rollout, store};

use crate::sandbox::SKEWER;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks/gitlab")
}

/// A document of mappings, sequences and texts.
fn yaml(text: &str) -> Value {
    let mut events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let mut next = || events.next().unwrap();
    fn value<'t>(event: Event<'t>, next: &mut dyn FnMut() -> Event<'t>) -> Value {
        match event {
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut all = Vec::new();
                loop {
                    match next() {
                        Event::SequenceEnd => return all.into(),
                        event => all.push(value(event, next)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut all = Map::new();
                loop {
                    let name = match next() {
                        Event::MappingEnd => return all.into(),
                        Event::Scalar(name, ..) => name.into_owned(),
                        other => panic!("{other:?}"),
                    };
                    let event = next();
                    let double = all.insert(name.clone(), value(event, next));
                    assert!(double.is_none(), "{name} stands there twice");
                }
            }
            _ => {
                let event = next();
                value(event, next)
            }
        }
    }
    let first = next();
    value(first, &mut next)
}

fn job() -> Value {
    let text = fs::read_to_string(top().join("rotate.gitlab-ci.yml")).unwrap();
    yaml(&text)["skewer-rotate"].clone()
}

fn script(job: &Value, part: &str) -> String {
    let lines = job[part].as_array().unwrap();
    lines
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn gitlab_runs_it_on_protected_refs_alone_and_one_at_a_time() {
    for file in ["rotate.gitlab-ci.yml", "skewer.gitlab-ci.yml"] {
        let all = yaml(&fs::read_to_string(top().join(file)).unwrap());
        for (name, job) in all.as_object().unwrap() {
            // GitLab refuses a job with both.
            let old = job.get("only").or(job.get("except"));
            assert!(job.get("rules").is_none() || old.is_none(), "{name}");
        }
    }
    let job = job();
    let rules = job["rules"].as_array().unwrap();
    assert_eq!(rules[0]["if"], "$CI_COMMIT_REF_PROTECTED != \"true\"");
    assert_eq!(rules[0]["when"], "never");
    assert!(
        rules
            .iter()
            .any(|rule| rule["if"] == "$CI_PIPELINE_SOURCE == \"schedule\"")
    );
    assert_eq!(job["interruptible"], "false");
    assert_eq!(job["resource_group"], "skewer-rotation");
    assert!(
        job.get("cache").is_none(),
        "who can write a cache could delete keys"
    );
    assert!(job["id_tokens"]["VAULT_ID_TOKEN"]["aud"].is_string());
    assert!(
        job["variables"]["SKEWER_JOURNAL"]
            .as_str()
            .unwrap()
            .starts_with("/var/lib/")
    );
}

/// The job's own shell with a `skewer` that answers as it is told, and writes down what it was
/// asked.
struct Shell(tempfile::TempDir);

impl Shell {
    fn new(list: &str, due: &str, status_of_due: i32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stub = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" '' >>\"$ASKED\"\ncase $2 in\nlist) printf '%s' '{list}' ;;\ndue) printf '%s' '{due}'; exit {status_of_due} ;;\nesac\n"
        );
        let path = directory.path().join("skewer");
        fs::write(&path, stub).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
        fs::copy(
            top().join("rotation.toml"),
            directory.path().join("rotation.toml"),
        )
        .unwrap();
        Self(directory)
    }

    fn run(&self, key: &str) -> Output {
        let here = self.0.path();
        let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
        Command::new("bash")
            .args(["-c", &script(&job(), "script")])
            .current_dir(here)
            .env("PATH", path)
            .env("ASKED", here.join("asked"))
            .env("SKEWER_JOURNAL", here.join("journal.sqlite"))
            .env("SKEWER_CONFIG", "rotation.toml")
            .env("CI_PIPELINE_URL", "https://gitlab.example.com/pipelines/1")
            .env("ROTATE_KEY", key)
            .output()
            .unwrap()
    }

    /// The command lines that were asked for.
    fn asked(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.0.path().join("asked")).unwrap();
        let lines = text.split("\n\n").filter(|lines| !lines.is_empty());
        lines
            .map(|lines| lines.lines().map(str::to_owned).collect())
            .collect()
    }

    /// The program itself takes each of them, as far as it goes without an organisation.
    fn are_ours(&self) {
        for arguments in self.asked() {
            let output = Command::new(SKEWER)
                .args(&arguments)
                .current_dir(self.0.path())
                .env_clear()
                .env("HOME", self.0.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("Usage:"), "{arguments:?}: {said}");
            match arguments[1].as_str() {
                "list" => assert_eq!(output.status.code(), Some(0), "{said}"),
                _ => assert!(said.contains("OPENAI_ADMIN_KEY"), "{arguments:?}: {said}"),
            }
        }
    }
}

#[test]
fn what_was_begun_is_ended_first_and_one_key_is_rotated_a_run() {
    let ended = "0a0a0a0a  2026-11-20T08:00:00Z  done  key_1  n\n1b1b1b1b  2026-11-21T08:00:00Z  undone  key_2  n\n";
    let due = "  120 days  key_old  26-07-acme  older than 90 days\n   95 days  key_less  26-08-acme  older than 90 days\n";
    let commands = |list: &str, due: &str, status: i32, key: &str, ends: i32| {
        let shell = Shell::new(list, due, status);
        let output = shell.run(key);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(ends), "{said}");
        shell.are_ours();
        let words = shell.asked().into_iter().map(|one| one[1..3].join(" "));
        words
            .map(|one| one.replace(" --config", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        commands(ended, due, 1, "", 0),
        ["list", "due", "start key_old"]
    );
    assert_eq!(commands(ended, "", 0, "", 0), ["list", "due"]);
    assert_eq!(commands("", "", 2, "", 2), ["list", "due"]);
    let misnamed = "   10 days  key_x  n  named otherwise than the template says\n";
    assert_eq!(commands("", misnamed, 1, "", 0), ["list", "due"]);
    assert_eq!(
        commands(ended, due, 1, "key_leaked", 0),
        ["list", "start key_leaked"]
    );
    let begun = format!("{ended}2c2c2c2c  2026-11-22T08:00:00Z  being undone  key_3  n\n");
    assert_eq!(
        commands(&begun, due, 1, "key_leaked", 0),
        ["list", "resume 2c2c2c2c"]
    );
}

#[test]
fn the_shell_can_read_it_and_secrets_are_no_arguments() {
    for part in ["before_script", "script"] {
        let text = script(&job(), part);
        let checked = Command::new("bash")
            .args(["-n", "-c", &text])
            .output()
            .unwrap();
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
        for secret in ["OPENAI_ADMIN_KEY", "KUBE_TOKEN", "VAULT_ID_TOKEN"] {
            assert!(!text.contains(secret), "{part} handles {secret}");
        }
    }
}

#[test]
fn its_configuration_can_be_opened() {
    let file = read(&top().join("rotation.toml")).unwrap();
    let outer = Outer::read(file).unwrap();
    let variable = |name: &str| {
        let known = ["VAULT_ID_TOKEN", "KUBE_TOKEN"].contains(&name);
        known.then(|| Secret::new(b"signed".to_vec()))
    };
    let settings = http::Settings::default();
    let outside = store::Outside {
        surroundings: Surroundings {
            variable: &variable,
        },
        http: &settings,
        now: jiff::Timestamp::now,
    };
    for section in outer.stores.values() {
        store::open(section, &outside).unwrap();
    }
    let stages: Vec<_> = outer.consumers["api"]
        .stages
        .iter()
        .map(|stage| rollout::open_stage(stage, &outside).unwrap())
        .collect();
    assert_eq!(stages.len(), 2);
    assert!(stages.iter().all(|stage| !stage.health.is_empty()));
}
