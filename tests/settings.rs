//! Settings and suppressions as the program's user meets them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::Path;
use std::process::{Command, Output};

use skewer::rules::Template;
use skewer::secret::{Fingerprint, Secret};

fn key(seed: u64) -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(seed).key
}

fn print(seed: u64) -> Fingerprint {
    Secret::new(key(seed).into_bytes()).fingerprint()
}

fn skewer(directory: &Path, arguments: &[&str]) -> Output {
    let output = command(directory, arguments).output().unwrap();
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&all).into_owned();
    for seed in 0..4 {
        assert!(!text.contains(&key(seed)[8..40]), "a key was printed");
    }
    output
}

/// The program in a world of its own: nothing of the machine's configuration is seen.
fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
    command.current_dir(directory).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SKEWER_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", directory.join("xdg"));
    command.env("USER", "ann");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_CONFIG_SYSTEM", "/dev/null");
    command
}

fn code(directory: &Path, arguments: &[&str]) -> i32 {
    skewer(directory, arguments).status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_allowed_key_is_hidden_and_no_other() {
    let top = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(top.path().join("a.env"), text).unwrap();
    write(&format!("K={}\n", key(1)));
    assert_eq!(code(top.path(), &["scan", "."]), 1);
    let allowed = print(1).to_string();
    let arguments = [
        "allow",
        &allowed,
        "--reason",
        "revoked",
        "--until",
        "2999-12-31",
    ];
    assert_eq!(code(top.path(), &arguments), 0);
    let baseline = std::fs::read_to_string(top.path().join("skewer-baseline.toml")).unwrap();
    assert!(
        baseline.contains(&allowed) && baseline.contains("who = \"ann\""),
        "{baseline}"
    );
    assert!(!baseline.contains(&key(1)[8..40]));
    assert_eq!(code(top.path(), &["scan", "."]), 0);
    write(&format!("K={}\nL={}\n", key(1), key(2)));
    assert_eq!(code(top.path(), &["scan", "."]), 1);
    // An expired entry blocks again.
    write(&format!("K={}\n", key(1)));
    let expired = baseline.replace("2999-12-31", "2020-01-02");
    let expired = expired.replace(
        &expired[expired.find("date = ").unwrap()..][..17],
        "date = 2020-01-01",
    );
    std::fs::write(top.path().join("skewer-baseline.toml"), expired).unwrap();
    let output = skewer(top.path(), &["scan", "."]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(
        said.contains("expired") && said.contains(&format!("{allowed}  revoked")),
        "{said}"
    );
    std::fs::write(top.path().join("skewer-baseline.toml"), "not toml").unwrap();
    assert_eq!(code(top.path(), &["scan", "."]), 2);
}

#[test]
fn what_cannot_be_read_is_acknowledged_by_path_and_hash() {
    let top = tempfile::tempdir().unwrap();
    let hash = "ab".repeat(32);
    let allow = |path: &str, hash: &str| {
        let who = ["allow", "--unreadable", path, "--sha256", hash];
        code(top.path(), &[&who[..], &["--reason", "vendor's"]].concat())
    };
    assert_eq!(allow(&format!("a.zip!{}", key(1)), &hash), 2);
    assert_eq!(allow("a.zip!b", "ab"), 2);
    assert_eq!(allow("a.zip!b", &hash), 0);
    let baseline = std::fs::read_to_string(top.path().join("skewer-baseline.toml")).unwrap();
    assert!(baseline.contains(&format!("sha256 = \"{hash}\"")) && baseline.contains("\"a.zip!b\""));
    assert_eq!(code(top.path(), &["scan", "."]), 0);
}

#[test]
fn wrong_uses_of_allow_write_nothing() {
    let top = tempfile::tempdir().unwrap();
    let allowed = print(1).to_string();
    for arguments in [
        vec!["allow", &key(1), "--reason", "r"],
        vec!["allow", &allowed],
        vec!["allow", "--unreadable", "a", "--reason", "r"],
        vec!["allow", &allowed, "--reason", ""],
        vec!["allow", &allowed, "--reason", &format!("it is {}", key(2))],
        vec!["allow", &allowed, "--reason", "r", "--until", "2020-01-01"],
        vec!["allow", &allowed, "--reason", "r", "--until", "tomorrow"],
        vec!["allow", &allowed[..20], "--reason", "r"],
    ] {
        assert_eq!(code(top.path(), &arguments), 2, "{}", arguments.len());
        assert!(!top.path().join("skewer-baseline.toml").exists());
    }
}

#[test]
fn markers_hide_their_key_in_files_but_not_in_logs_or_streams() {
    let top = tempfile::tempdir().unwrap();
    let line = format!("K={} # skewer:allow={}\n", key(1), print(1));
    let scan = |name: &str, line: &str, flags: &[&str]| {
        std::fs::write(top.path().join(name), line).unwrap();
        code(top.path(), &[&["scan", name], flags].concat())
    };
    assert_eq!(scan("a.env", &line, &[]), 0);
    assert_eq!(scan("a.log", &line, &[]), 1);
    assert_eq!(
        scan(
            "a.env",
            &format!("K={} # skewer:allow={}\n", key(1), print(2)),
            &[]
        ),
        1
    );
    assert_eq!(
        scan(
            "a.env",
            &format!("# skewer:allow={}\nK={}\n", print(1), key(1)),
            &[]
        ),
        1
    );
    let theirs = format!("K={} # gitleaks:allow\n", key(1));
    assert_eq!(scan("a.env", &theirs, &[]), 1);
    assert_eq!(scan("a.env", &theirs, &["--honour-markers"]), 0);
    assert_eq!(scan("a.log", &theirs, &["--honour-markers"]), 1);
    let stream = command(top.path(), &["scan", "-"])
        .stdin({
            std::fs::write(top.path().join("s"), &line).unwrap();
            std::fs::File::open(top.path().join("s")).unwrap()
        })
        .output();
    assert_eq!(stream.unwrap().status.code(), Some(1));
}

#[test]
fn a_target_has_no_say_in_how_it_is_scanned() {
    let top = tempfile::tempdir().unwrap();
    let target = top.path().join("target");
    let here = top.path().join("here");
    for directory in [&target, &here] {
        std::fs::create_dir_all(directory.join(".git")).unwrap();
    }
    std::fs::write(target.join("a.env"), key(1)).unwrap();
    std::fs::write(target.join("skewer.toml"), "exclude = ['*']\n").unwrap();
    assert_eq!(code(&target, &["scan", "."]), 0);
    assert_eq!(code(&target, &["scan", "--no-config", "."]), 1);
    assert_eq!(code(&here, &["scan", "../target"]), 1);
    assert_eq!(
        code(
            &here,
            &["scan", "--config", "../target/skewer.toml", "../target"]
        ),
        0
    );
}

#[test]
fn globs_are_relative_to_where_they_are_written() {
    let top = tempfile::tempdir().unwrap();
    let deep = top.path().join("src/vendor/x");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(top.path().join(".git")).unwrap();
    std::fs::write(deep.join("a.env"), key(1)).unwrap();
    assert_eq!(code(top.path(), &["scan", "src"]), 1);
    std::fs::write(top.path().join("skewer.toml"), "exclude = ['src/vendor']\n").unwrap();
    assert_eq!(code(top.path(), &["scan", "src"]), 0);
    assert_eq!(code(&top.path().join("src"), &["scan", "./vendor"]), 0);
    assert_eq!(code(&deep, &["scan", "a.env"]), 0);
    assert_eq!(
        code(&top.path().join("src"), &["scan", "--no-config", "."]),
        1
    );
    assert_eq!(
        code(
            &top.path().join("src"),
            &["scan", "--no-config", "--exclude", "x", "."]
        ),
        0
    );
}

#[test]
fn a_configuration_that_names_more_than_a_scan_stops_the_run() {
    let top = tempfile::tempdir().unwrap();
    std::fs::write(
        top.path().join("skewer.toml"),
        "threads = 1\nbase-url = 'https://example.com'\n",
    )
    .unwrap();
    let output = skewer(top.path(), &["scan", "."]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("skewer.toml:2: `base-url` would name a host"),
        "{said}"
    );
}

#[test]
fn config_show_names_every_setting_and_its_origin() {
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(top.path().join("xdg/skewer")).unwrap();
    std::fs::write(top.path().join("xdg/skewer/config.toml"), "threads = 3\n").unwrap();
    std::fs::write(top.path().join("skewer.toml"), "\nno-ignore = true\n").unwrap();
    let output = command(top.path(), &["config", "show", "--exclude", "dist"])
        .env("SKEWER_ON_INCOMPLETE", "warn")
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    let has = |setting: &str, value: &str, origin: &str| {
        shown.lines().any(|line| {
            line.starts_with(&format!("{setting} "))
                && line.contains(value)
                && line.contains(origin)
        })
    };
    for setting in skewer::config::TABLE.iter() {
        assert!(shown.contains(&setting.name), "{}: {shown}", setting.name);
    }
    assert!(has("threads", "3", "xdg/skewer/config.toml:1"), "{shown}");
    assert!(has("no-ignore", "true", "skewer.toml:2"), "{shown}");
    assert!(
        has(
            "on-incomplete",
            "\"warn\"",
            "environment SKEWER_ON_INCOMPLETE"
        ),
        "{shown}"
    );
    assert!(has("exclude", "\"dist\"", "--exclude"), "{shown}");
    assert!(has("honour-markers", "false", "default"), "{shown}");
    let json = skewer(top.path(), &["config", "show", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(rows.len(), skewer::config::TABLE.len());
}

#[test]
fn a_baseline_hides_what_was_there_and_nothing_new() {
    let top = tempfile::tempdir().unwrap();
    std::fs::write(
        top.path().join("a.env"),
        format!("A={}\nB={}\n", key(1), key(2)),
    )
    .unwrap();
    assert_eq!(
        code(top.path(), &["baseline", "write", "--reason", "old"]),
        0
    );
    assert_eq!(code(top.path(), &["scan", "."]), 0);
    let path = top.path().join("skewer-baseline.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    assert_eq!(before.matches("old").count(), 2);
    std::fs::write(top.path().join("b.env"), key(3)).unwrap();
    assert_eq!(code(top.path(), &["scan", "."]), 1);
    // What is there keeps its reason.
    assert_eq!(
        code(top.path(), &["baseline", "write", "--reason", "newer"]),
        0
    );
    let after = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        (after.matches("old").count(), after.matches("newer").count()),
        (2, 1)
    );
    assert!(before.lines().all(|line| after.contains(line)));
    // What is gone is named, but only by a scan of everything; and it can be taken out.
    std::fs::remove_file(top.path().join("b.env")).unwrap();
    std::fs::create_dir(top.path().join("part")).unwrap();
    let said = |arguments: &[&str]| text(&skewer(top.path(), arguments).stdout);
    let unused = format!("{}  newer", print(3));
    assert!(said(&["scan", "."]).contains(&unused));
    assert!(!said(&["scan", "part", "a.env"]).contains(&unused));
    let prune = ["baseline", "write", "--reason", "r", "--prune"];
    assert_eq!(code(top.path(), &[&prune[..], &["part"]].concat()), 2);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    assert_eq!(code(top.path(), &prune), 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn rules_of_ones_own_are_listed_tried_and_used() {
    let top = tempfile::tempdir().unwrap();
    let rule = |template: &str| {
        format!(
            "[[rule]]\nid = 'acme'\ntitle = 'A'\nkind = 'token'\nseverity = 'low'\nremedy = 'R'\nanchors = ['acme_']\nmust_match = ['{template}']\n[rule.shape.token]\nprefix = 'acme_'\nalphabet = 'alnum'\nlengths = [24]\n"
        )
    };
    let write = |text: &str| std::fs::write(top.path().join("acme.toml"), text).unwrap();
    write(&rule("acme_{alnum:24}"));
    std::fs::write(top.path().join("skewer.toml"), "rules = ['acme.toml']\n").unwrap();
    let listed = text(&skewer(top.path(), &["rules", "list"]).stdout);
    assert!(
        listed.contains("acme") && listed.contains("openai-project"),
        "{listed}"
    );
    assert_eq!(code(top.path(), &["rules", "test"]), 0);
    let filled = Template::parse("acme_{alnum:24}").unwrap().fill(5);
    std::fs::write(top.path().join("a.txt"), filled.text).unwrap();
    assert_eq!(code(top.path(), &["scan", "a.txt"]), 1);
    write(&rule("acme_{alnum:23}"));
    let output = skewer(top.path(), &["rules", "test"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout)
            .contains("acme: must match acme_{alnum:23} (seed 0): nothing is found")
    );
    for wrong in ["[[rule]]\nid = 'x'", "rules = 1"] {
        write(wrong);
        assert_eq!(code(top.path(), &["scan", "a.txt"]), 2);
    }
    std::fs::remove_file(top.path().join("acme.toml")).unwrap();
    assert_eq!(code(top.path(), &["scan", "a.txt"]), 2);
}

#[test]
fn completions_and_manual_pages_are_made() {
    let top = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = skewer(top.path(), &["completions", shell]);
        assert!(
            output.status.success() && text(&output.stdout).contains("honour-markers"),
            "{shell}"
        );
    }
    assert!(text(&skewer(top.path(), &["man"]).stdout).contains(".TH skewer"));
    assert_eq!(code(top.path(), &["man", "pages"]), 0);
    let page = std::fs::read_to_string(top.path().join("pages/skewer-scan.1")).unwrap();
    for setting in skewer::config::TABLE.iter() {
        let name = setting.name.replace('-', "\\-");
        assert!(page.contains(&name), "{name}");
    }
}

fn git(directory: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(directory)
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"])
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(
        status.status.success(),
        "{arguments:?}: {}",
        text(&status.stderr)
    );
}

#[test]
fn a_change_cannot_excuse_itself() {
    let top = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(top.path().join(name), text).unwrap();
    let from_main = |extra: &[&str]| {
        code(
            top.path(),
            &[&["scan", "--suppress-from", "main", "."], extra].concat(),
        )
    };
    git(top.path(), &["init", "-q"]);
    assert_eq!(
        code(
            top.path(),
            &["allow", &print(1).to_string(), "--reason", "r"]
        ),
        0
    );
    write("skewer.toml", "exclude = ['vendor']\n");
    write("old.env", &key(1));
    std::fs::create_dir(top.path().join("vendor")).unwrap();
    write("vendor/a.env", &key(3));
    git(top.path(), &["add", "."]);
    git(top.path(), &["commit", "-qm", "one"]);
    git(top.path(), &["checkout", "-qb", "change"]);
    assert_eq!(from_main(&[]), 0);
    // What the change adds: a key, and each way to hide it.
    write("new.env", &key(2));
    assert_eq!(from_main(&[]), 1);
    assert_eq!(
        code(
            top.path(),
            &["allow", &print(2).to_string(), "--reason", "r"]
        ),
        0
    );
    assert_eq!((code(top.path(), &["scan", "."]), from_main(&[])), (0, 1));
    git(top.path(), &["checkout", "-q", "skewer-baseline.toml"]);
    write("skewer.toml", "exclude = ['*']\n");
    assert_eq!((code(top.path(), &["scan", "."]), from_main(&[])), (0, 1));
    write(
        "skewer.toml",
        "honour-markers = true\nexclude = ['vendor']\n",
    );
    for marker in [
        "gitleaks:allow".to_owned(),
        format!("skewer:allow={}", print(2)),
    ] {
        write("new.env", &format!("{} # {marker}", key(2)));
        assert_eq!((code(top.path(), &["scan", "."]), from_main(&[])), (0, 1));
    }
    // Committing it changes nothing; whoever starts the program may still exclude.
    git(top.path(), &["add", "."]);
    git(top.path(), &["commit", "-qm", "two"]);
    assert_eq!(from_main(&[]), 1);
    assert_eq!(from_main(&["--exclude", "new.env"]), 0);
    let unknown = skewer(top.path(), &["scan", "--suppress-from", "nowhere", "."]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        text(&unknown.stderr).contains("hint:"),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn a_key_in_a_configuration_is_not_printed_by_its_error() {
    let top = tempfile::tempdir().unwrap();
    for wrong in [
        format!("{} = 1", key(1)),
        format!("threads = '{}'", key(1)),
        format!("rules = ['{}']", key(1)),
    ] {
        std::fs::write(top.path().join("skewer.toml"), wrong).unwrap();
        assert_eq!(code(top.path(), &["scan", "."]), 2);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_may_fail_and_what_a_failure_means_are_settings() {
    // A regular file that opens and can't be read, not even by root.
    let top = Path::new("/proc/self");
    let scan = |flags: &[&str]| code(top, &[&["scan", "--no-config", "mem"], flags].concat());
    assert_eq!(scan(&[]), 3);
    assert_eq!(scan(&["--on-incomplete", "warn"]), 0);
    assert_eq!(scan(&["--accept", "me?", "--threads", "1"]), 0);
    assert_eq!(scan(&["--threads", "70000"]), 2);
}
