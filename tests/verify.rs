//! Verification as its users meet it, with the sandbox for OpenAI.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![cfg(unix)]

#[path = "support/git.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod git;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use git::Scratch;
use serde_json::Value;
use skewer::rules::Template;
use skewer::sandbox::{Clock, Fault, Options, Running, Sandbox, Shape, What};
use tempfile::TempDir;

/// An organisation, a user of its, and a directory that is scanned.
struct House {
    home: TempDir,
    sandbox: Running,
}

fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_millis() as i64
}

impl House {
    fn new(shape: Shape) -> Self {
        let sandbox = Sandbox::start(Options {
            shape,
            clock: Clock::running(milliseconds),
            ..Options::default()
        })
        .unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("config/skewer")).unwrap();
        std::fs::create_dir_all(home.path().join("work")).unwrap();
        let house = Self { home, sandbox };
        house.configure("");
        house
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "[openai]\napi = '{}'\nrequests-per-minute = 0\nprobes-per-minute = 0\ndead-pause-seconds = 0\nlast-used-lag-seconds = 1\n{more}\n[profiles.acme]\nadmin-key = {{ env = 'ACME_KEY' }}\n",
            self.sandbox.url()
        );
        std::fs::write(self.home.path().join("config/skewer/config.toml"), text).unwrap();
    }

    fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// A file that is ten days old.
    fn write(&self, name: &str, text: &str) {
        let path = self.work().join(name);
        std::fs::write(&path, text).unwrap();
        let past = SystemTime::now() - Duration::from_secs(10 * 86_400);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(past).unwrap();
    }

    /// A live key of a project, and its id.
    fn own_key(&self) -> (String, String) {
        self.sandbox.with(|world| {
            let archived = |id: &str| world.project(id).unwrap().archived.is_some();
            let key = world.keys.iter().find(|key| {
                key.project.as_deref().is_some_and(|p| !archived(p))
                    && key.scopes.is_empty()
                    && key.value.expose().len() > 150
                    && !key.uses.is_empty()
            });
            let key = key.unwrap();
            let value = String::from_utf8(key.value.expose().to_vec()).unwrap();
            (value, key.id.clone())
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.under(Command::new(env!("CARGO_BIN_EXE_skewer")), arguments)
    }

    fn under(&self, mut command: Command, arguments: &[&str]) -> Command {
        let admin = self.sandbox.admin_key();
        command
            .args(arguments)
            .current_dir(self.work())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .env("ACME_KEY", std::str::from_utf8(admin.expose()).unwrap());
        command
    }

    /// Runs it, and sees to it that nothing it says holds a key.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.told(&self.command(arguments).output().unwrap())
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        self.told(&child.wait_with_output().unwrap())
    }

    fn told(&self, output: &Output) -> (i32, String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        self.assert_no_key(&out);
        self.assert_no_key(&err);
        (output.status.code().unwrap(), out, err)
    }

    /// No key of the organisation, and no stranger, in any of the usual forms.
    fn assert_no_key(&self, text: &str) {
        let own = self.sandbox.with(|world| {
            let values = world.keys.iter().map(|key| key.value.expose().to_vec());
            values.collect::<Vec<_>>()
        });
        for key in own.into_iter().chain([stranger().into_bytes()]) {
            for (form, encoded) in encodings(&key) {
                assert!(
                    !text.contains(&encoded),
                    "a key was told, as {form}:\n{text}"
                );
            }
        }
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(arguments);
        let parsed = serde_json::from_str(&out);
        (code, parsed.unwrap_or_else(|_| panic!("{out}\n{err}")))
    }
}

/// What of a key must stand nowhere: the whole, its hidden middle, and both encoded.
fn encodings(key: &[u8]) -> Vec<(&'static str, String)> {
    let text = String::from_utf8(key.to_vec()).unwrap();
    let middle = &text[10..text.len() - 6];
    let hex: String = middle.bytes().map(|b| format!("{b:02x}")).collect();
    let percent: String = middle.bytes().map(|b| format!("%{b:02X}")).collect();
    let reversed: String = middle.chars().rev().collect();
    let mut all = vec![
        ("itself", middle.to_owned()),
        ("hexadecimal", hex.to_uppercase()),
        ("hexadecimal", hex),
        ("percent-encoded", percent),
        ("reversed", reversed),
    ];
    // Base64 in its three phases, without the characters that the surroundings decide.
    for phase in 0..3 {
        let encoded = base64(&[&vec![b'x'; phase], key].concat());
        all.push(("base64", encoded[8..encoded.len() - 8].to_owned()));
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let mut bits = 0u32;
        for n in 0..3 {
            bits = bits << 8 | u32::from(three.get(n).copied().unwrap_or(0));
        }
        for n in 0..=three.len() {
            out.push(DIGITS[(bits >> (18 - 6 * n)) as usize & 63] as char);
        }
    }
    out
}

fn stranger() -> String {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    template.fill(99_991).key
}

fn check<'v>(report: &'v Value, word: &str) -> &'v Value {
    let keys = report["verification"]["keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["verdict"] == word);
    found.unwrap_or_else(|| panic!("no key is {word}: {}", report["verification"]))
}

#[test]
fn a_scan_tells_whose_keys_it_found_and_what_they_did() {
    let house = House::new(Shape::default());
    let (key, id) = house.own_key();
    house.write("app.env", &format!("KEY={key}\n"));
    house.write("copy.env", &format!("KEY={key}\nOLD={}\n", stranger()));

    let (code, text, err) = house.run(&["scan", "--verify", "--probe", "."]);
    assert_eq!(code, 1, "{err}");
    for said in [
        "live: it works",
        "confirmed, by the answer to the key itself",
        &format!("({id})"),
        "exposed   10 days, since",
        "dead: refused 3 times over 0 s, while another key was let in",
        "not a key of the organisations that were listed",
        "Verified 2 keys: 1 live, 1 dead.",
        "(profile acme): 4 projects, 22 keys, listed just now.",
    ] {
        assert!(text.contains(said), "{said:?} is missing:\n{text}");
    }
    // Two places, one key: asked once, and once more as a witness for the stranger, twice.
    let fingerprint = skewer::secret::Secret::new(key.clone().into_bytes()).fingerprint();
    let asked = house.sandbox.with(|world| {
        let of = world
            .requests
            .iter()
            .filter(|r| r.bearer == Some(fingerprint));
        of.count()
    });
    assert_eq!(asked, 3);

    // From the cache, in every form.
    let before = house.sandbox.with(|world| world.requests.len());
    let (code, report) = house.json(&["scan", "--verify", "--format", "json", "."]);
    assert_eq!(code, 1);
    assert_eq!(report["verification"]["complete"], true);
    let mut words: Vec<&str> = Vec::new();
    for key in report["verification"]["keys"].as_array().unwrap() {
        assert_eq!(
            (&key["verdict"], &key["detail"]),
            (&"unknown".into(), &"not_probed".into())
        );
        words.push(key["identity"].as_str().unwrap());
    }
    words.sort_unstable();
    assert_eq!(words, ["candidate", "none"]);
    let asked = house.sandbox.with(|world| {
        let lists = world
            .requests
            .iter()
            .skip(before)
            .filter(|r| r.path.ends_with("/api_keys"));
        lists.count()
    });
    assert_eq!(asked, 0);

    let (_, report) = house.json(&["scan", "--verify", "--probe", "--format", "json", "."]);
    let live = check(&report, "live");
    assert_eq!(
        (&live["identity"], &live["witness"]),
        (&"confirmed".into(), &"headers".into())
    );
    assert_eq!(live["records"][0]["id"], id.as_str());
    assert!(live["exposure"]["total"]["requests"].as_u64().unwrap() > 0);
    assert!(!live["exposure"]["days"].as_array().unwrap().is_empty());
    assert!(!live["exposure"]["events"].as_array().unwrap().is_empty());
    assert_eq!(check(&report, "dead")["identity"], "none");

    for format in ["sarif", "csv", "gitlab", "github", "junit"] {
        let (_, text, _) = house.run(&["scan", "--verify", "--probe", "--format", format, "."]);
        assert!(
            text.contains("live: it works; confirmed record"),
            "{format}:\n{text}"
        );
    }
    let (_, lines, _) = house.run(&["scan", "--verify", "--probe", "--format", "jsonl", "."]);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    check(&last, "live");
}

#[test]
fn the_exit_status_says_what_was_asked_for() {
    let house = House::new(Shape::default());
    let (key, _) = house.own_key();
    let scan = |arguments: &[&str]| {
        let all = [&["scan", "--verify", "--probe"], arguments, &["."]].concat();
        house.run(&all).0
    };
    house.write("a.env", &format!("KEY={}\n", stranger()));
    assert_eq!(scan(&[]), 1);
    assert_eq!(scan(&["--fail-on", "not-dead"]), 0);
    assert_eq!(scan(&["--fail-on", "live"]), 0);
    house
        .sandbox
        .fault(Fault::new(What::UnsupportedRegion).on("GET /v1/models"));
    assert_eq!(scan(&["--fail-on", "not-dead"]), 1);
    assert_eq!(scan(&["--fail-on", "live"]), 3, "its fate is not known");
    house.sandbox.heal();
    house.write("b.env", &format!("KEY={key}\n"));
    assert_eq!(scan(&["--fail-on", "live"]), 1);
    // A listing that fails leaves the verification incomplete, whatever the verdict.
    std::fs::remove_file(house.work().join("b.env")).unwrap();
    house
        .sandbox
        .fault(Fault::new(What::CaptivePortal).on("GET /v1/organization/*"));
    assert_eq!(scan(&["--fail-on", "live", "--fresh"]), 3);
    let (code, text, _) = house.run(&["scan", "--verify", "--fresh", "."]);
    assert_eq!(code, 1);
    assert!(text.contains("Looked up 1 key: 1 unknown."), "{text}");
    assert!(text.contains("is not the API's: it is no JSON"), "{text}");
    // Nothing found: nobody is asked.
    std::fs::remove_file(house.work().join("a.env")).unwrap();
    let before = house.sandbox.with(|world| world.requests.len());
    assert_eq!(scan(&[]), 0);
    assert_eq!(house.sandbox.with(|world| world.requests.len()), before);
}

#[test]
fn a_report_is_verified_from_where_its_keys_were_found() {
    let house = House::new(Shape::default());
    let (key, id) = house.own_key();
    house.write("app.env", &format!("KEY={key}\n"));
    for (format, file) in [
        ("json", "r.json"),
        ("jsonl", "r.jsonl"),
        ("sarif", "r.sarif"),
    ] {
        let (code, ..) = house.run(&["scan", "--format", format, "-o", file, "app.env"]);
        assert_eq!(code, 1);
        let (code, report) = house.json(&["verify", "--probe", "--format", "json", file]);
        assert_eq!(code, 1, "{format}");
        assert_eq!(check(&report, "live")["records"][0]["id"], id.as_str());
    }
    // An operator may say which record it is.
    let (_, report) = house.json(&["verify", "--confirm", &id, "--format", "json", "r.json"]);
    assert_eq!(check(&report, "unknown")["witness"], "operator");
    // From elsewhere, with the directory named.
    let other = house.home.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::rename(house.work().join("app.env"), other.join("app.env")).unwrap();
    let (code, _) = house.json(&["verify", "--root", "../other", "--format", "json", "r.json"]);
    assert_eq!(code, 1);
    // The key is gone: nothing is known, and the exit status says so.
    let (code, text, _) = house.run(&["verify", "r.json"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("there is no such file any more"), "{text}");
    house.write("app.env", "KEY=\n");
    let (code, text, _) = house.run(&["verify", "r.json"]);
    assert!(
        code == 3 && text.contains("the key is not there any more"),
        "{code} {text}"
    );
    let (code, _, err) = house.run(&["verify", "app.env"]);
    assert!(code == 2 && err.contains("can't read the report"), "{err}");
}

#[test]
fn a_key_on_standard_input_is_verified() {
    let house = House::new(Shape::default());
    let (key, id) = house.own_key();
    let (code, text, _) = house.run_with_input(&["verify", "--probe", "-"], &format!("{key}\n"));
    assert!(code == 1 && text.contains(&id), "{text}");
    let (code, _, err) = house.run_with_input(&["verify", "-"], "hello\n");
    assert!(
        code == 2 && err.contains("no key on standard input"),
        "{err}"
    );
    // An admin key is found among the admin keys.
    let admin = house.sandbox.admin_key();
    let admin = std::str::from_utf8(admin.expose()).unwrap();
    let (_, text, _) = house.run_with_input(&["verify", "--probe", "-"], admin);
    assert!(
        text.contains("admin key") && text.contains("live, out of scope"),
        "{text}"
    );
}

#[test]
fn history_tells_since_when_a_key_is_exposed() {
    let house = House::new(Shape::default());
    let (key, id) = house.own_key();
    let repo = Scratch::new(&[]);
    std::fs::write(repo.root().join("a.env"), format!("KEY={key}\n")).unwrap();
    repo.git(&["add", "."]);
    let week = milliseconds() / 1000 - 7 * 86_400;
    let date = format!("{week} +0000");
    let mut commit = repo.command(&["commit", "-qm", "oops"]);
    commit
        .env("GIT_AUTHOR_DATE", &date)
        .env("GIT_COMMITTER_DATE", &date);
    assert!(commit.status().unwrap().success());
    let root = repo.root().to_str().unwrap();
    let json = house.work().join("h.json");
    let json = json.to_str().unwrap();
    let (code, ..) = house.run(&[
        "history", "--verify", "--probe", "--format", "json", "-o", json, root,
    ]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let live = check(&report, "live");
    assert_eq!(live["records"][0]["id"], id.as_str());
    assert_eq!(
        (&live["exposed_since"]["at"], &live["exposed_since"]["by"]),
        (&week.into(), &"first commit".into())
    );
    // The same from the report alone, after the file has gone from the working tree.
    std::fs::remove_file(repo.root().join("a.env")).unwrap();
    let (code, report) = house.json(&[
        "verify", "--probe", "--root", root, "--format", "json", json,
    ]);
    assert_eq!(code, 1);
    assert_eq!(check(&report, "live")["exposed_since"]["at"], week);
}

#[test]
fn the_inventory_is_listed_and_filtered() {
    let house = House::new(Shape::default());
    let (_, table, _) = house.run(&["keys", "list"]);
    assert_eq!(table.lines().count(), 1 + 22, "{table}");
    assert!(
        table.contains("(admin keys)") && table.contains("(archived)"),
        "{table}"
    );
    let list = |more: &[&str]| {
        let (code, value) = house.json(&[&["keys", "list", "--format", "json"], more].concat());
        assert_eq!(code, 0);
        value["keys"].as_array().unwrap().clone()
    };
    let all = list(&[]);
    assert_eq!(all.len(), 22);
    let project = all[3]["project"].as_str().unwrap();
    let of = list(&["--project", project]);
    assert!(!of.is_empty() && of.iter().all(|key| key["project"] == project));
    assert_eq!(
        list(&["--project", of[0]["project_name"].as_str().unwrap()]).len(),
        of.len()
    );
    let owner = list(&["--owner", "ada@acme.example"]);
    assert!(!owner.is_empty() && owner.len() < all.len());
    let unused = list(&["--unused-for", "90d"]);
    assert!(!unused.is_empty() && unused.len() < all.len());
    assert!(list(&["--older-than", "2y"]).is_empty());
    let (_, csv, _) = house.run(&["keys", "list", "--format", "csv"]);
    assert!(csv.starts_with("organisation,project,id,"), "{csv}");
    // A listing that is not whole says so.
    house
        .sandbox
        .fault(Fault::new(What::EndlessPages).on("GET /v1/organization/admin_api_keys"));
    let (code, _, err) = house.run(&["keys", "list", "--fresh"]);
    assert!(code == 3 && err.contains("is not whole"), "{code} {err}");
}

#[test]
fn what_the_admin_key_lacks_is_said_before() {
    let house = House::new(Shape::default());
    house.write("a.env", &format!("KEY={}\n", stranger()));
    house
        .sandbox
        .fault(Fault::new(What::MissingScopes).on("GET /v1/organization/audit_logs"));
    let (_, text, err) = house.run(&["scan", "--verify", "."]);
    assert!(
        err.contains("the admin key of acme lacks something: scopes and events"),
        "{err}"
    );
    assert!(text.contains("lacks something"), "{text}");
    // No admin key at all.
    let mut command = house.command(&["scan", "--verify", "."]);
    let (code, _, err) = house.told(&command.env_remove("ACME_KEY").output().unwrap());
    assert!(code == 2 && err.contains("ACME_KEY is not set"), "{err}");
    let (code, _, err) = house.run(&["scan", "--verify", "--profile", "other", "."]);
    assert!(code == 2 && err.contains("no profile \"other\""), "{err}");
    let (code, _, err) = house.run(&["scan", "--probe", "."]);
    assert!(code == 2 && err.contains("go with --verify"), "{err}");
}

#[test]
fn a_repository_has_no_say_in_where_keys_go() {
    let house = House::new(Shape::default());
    house.write("a.env", &format!("KEY={}\n", stranger()));
    let text = format!("[openai]\napi = '{}'\n", house.sandbox.url());
    house.write("skewer.toml", &text);
    let (code, _, err) = house.run(&["scan", "--verify", "--probe", "."]);
    assert!(
        code == 2 && err.contains("would choose where keys are sent"),
        "{err}"
    );
    // Named by whoever starts the program, it is their own word.
    let (code, _, err) = house.run(&[
        "scan",
        "--verify",
        "--probe",
        "--config",
        "skewer.toml",
        ".",
    ]);
    assert_eq!(code, 1, "{err}");
    // Plain http beyond this machine is refused.
    house.write("skewer.toml", "[openai]\napi = 'http://192.0.2.1/v1'\n");
    let (code, _, err) = house.run(&[
        "scan",
        "--verify",
        "--probe",
        "--config",
        "skewer.toml",
        ".",
    ]);
    assert!(
        code == 2 && err.contains("only https is spoken"),
        "{code} {err}"
    );
}

#[test]
fn admin_keys_come_from_files_and_commands_too() {
    let house = House::new(Shape::default());
    let (key, id) = house.own_key();
    house.write("a.env", &format!("KEY={key}\n"));
    let admin = house.sandbox.admin_key();
    let admin = std::str::from_utf8(admin.expose()).unwrap();
    house.write("admin.key", &format!("{admin}\n"));
    for source in [
        "{ file = 'admin.key' }",
        "{ command = ['cat', 'admin.key'] }",
    ] {
        let text = format!(
            "[openai]\napi = '{}'\nrequests-per-minute = 0\n[profiles.a]\nadmin-key = {source}\n",
            house.sandbox.url()
        );
        house.write("mine.toml", &text);
        let (code, text, err) = house.run(&["scan", "--verify", "--config", "mine.toml", "a.env"]);
        assert!(code == 1 && text.contains(&id), "{text}{err}");
    }
    for (source, said) in [
        ("{ file = 'none' }", "no credential from the file"),
        ("{ command = ['false'] }", "exit status: 1"),
        ("{ command = ['no-such-program'] }", "did not start"),
        ("{ command = ['echo'] }", "it is empty"),
        (
            "{ command = ['echo', 'two', 'words'] }",
            "a key is one word",
        ),
    ] {
        house.write(
            "mine.toml",
            &format!("[profiles.a]\nadmin-key = {source}\n"),
        );
        let (code, _, err) = house.run(&["scan", "--verify", "--config", "mine.toml", "a.env"]);
        assert!(code == 2 && err.contains(said), "{source}: {err}");
    }
}

#[test]
fn whatever_happens_no_key_is_told() {
    let house = House::new(Shape {
        twins: 1,
        ..Shape::default()
    });
    let (key, _) = house.own_key();
    // A key that carries its value as its name, in the organisation and in the file's name.
    house.sandbox.with(|world| {
        let value = String::from_utf8(world.keys[3].value.expose().to_vec()).unwrap();
        world.keys[3].name = value;
        let title = world.keys[4].value.expose().to_vec();
        world.projects[0].name = String::from_utf8(title).unwrap();
    });
    house.write(
        &format!("{key}.env"),
        &format!("A={key}\nB={}\n", stranger()),
    );
    let whats = [
        None,
        Some(What::ServerError),
        Some(What::CutBody),
        Some(What::IncorrectApiKey),
        Some(What::RevokeAdminKey),
    ];
    for what in whats {
        if let Some(fault) = what {
            house.sandbox.fault(Fault::new(fault).skip(2).times(4));
        }
        for format in [
            "text", "json", "jsonl", "sarif", "gitlab", "github", "junit", "csv",
        ] {
            house.run(&[
                "scan", "--verify", "--probe", "--fresh", "--format", format, ".",
            ]);
        }
        house.run(&["keys", "list"]);
        house.sandbox.heal();
    }
    // Everything that was left on disk, but for what held keys before.
    let mut seen = 0;
    let mut todo = vec![house.home.path().to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if !path.starts_with(house.work()) {
                house.assert_no_key(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
                house.assert_no_key(&path.to_string_lossy());
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "the configuration and a cache");
    // What the sandbox got: keys in no address and no body.
    house.sandbox.with(|world| {
        assert!(
            world
                .requests
                .iter()
                .all(|r| !r.path.contains("T3Bl") && !r.query.contains("T3Bl") && r.body.is_null())
        );
    });
}

#[test]
fn a_panic_in_the_middle_tells_no_key() {
    use skewer::clock::{Clock as Time, Stopped};
    use skewer::openai::{self, Admin, News, Progress, Service};
    use skewer::verify;
    use std::sync::{Arc, Mutex};

    struct Now;
    impl Time for Now {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::now()
        }
        fn uptime(&self) -> Duration {
            Duration::from_millis(milliseconds() as u64)
        }
        fn sleep(&self, _: Duration) -> Result<(), Stopped> {
            Ok(())
        }
    }
    struct Panics(Arc<Mutex<u32>>);
    impl Progress for Panics {
        fn tell(&self, news: News) {
            let mut left = self.0.lock().unwrap_or_else(|e| e.into_inner());
            *left -= 1;
            assert!(*left > 0, "{news:?}");
        }
    }
    let house = House::new(Shape::default());
    let (key, _) = house.own_key();
    let key = skewer::secret::Secret::new(key.into_bytes());
    let said = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&said);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let trace = std::backtrace::Backtrace::force_capture();
        *log.lock().unwrap() += &format!("{info}\n{trace}\n");
    }));
    let settings =
        openai::Settings::new(skewer::http::Address::parse(&house.sandbox.url()).unwrap());
    for after in 1..8 {
        let service = Service::new(
            skewer::http::Client::new(skewer::http::Settings::default()).unwrap(),
            settings.clone(),
            Arc::new(Now),
            Arc::new(|text: &[u8]| skewer::secret::Masked::vouched(text)),
            Arc::new(Panics(Arc::new(Mutex::new(after)))),
        );
        let organisation = verify::Organisation {
            profile: "x".to_owned(),
            admin: Admin::new(Arc::new(service), house.sandbox.admin_key()),
            cache: None,
        };
        let subject = verify::Subject {
            fingerprint: key.fingerprint(),
            key: &key,
            kind: "project",
            since: None,
        };
        let ask = std::panic::AssertUnwindSafe(|| {
            let inventory = organisation.inventory(Duration::ZERO);
            panic!(
                "{:?} {:?} {:?}",
                inventory.fitting(subject.key.expose()),
                inventory.info(),
                subject.key
            );
        });
        assert!(std::panic::catch_unwind(ask).is_err());
    }
    std::panic::set_hook(before);
    let said = said.lock().unwrap().clone();
    assert!(
        said.contains("projects listed") && said.contains("panicked at"),
        "{said}"
    );
    house.assert_no_key(&said);
}

/// The system calls of a run; `None`, and loudly so, if they can't be watched here.
fn watched(house: &House, log: &Path, arguments: &[&str]) -> Option<String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log).args([
        "-e",
        "trace=%network,epoll_create,epoll_create1,eventfd2,openat,open",
        env!("CARGO_BIN_EXE_skewer"),
    ]);
    let output = house.under(strace, arguments).output().ok()?;
    let calls = std::fs::read_to_string(log).unwrap_or_default();
    if calls.contains("openat(") {
        return Some(calls);
    }
    // Not by a macro, whose words the test runner would keep to itself.
    let why = String::from_utf8_lossy(&output.stderr);
    let _ = writeln!(std::io::stderr(), "SKIPPED: strace can't watch here: {why}");
    None
}

#[test]
fn a_scan_without_verify_opens_no_socket_and_loads_nothing_for_one() {
    let house = House::new(Shape::default());
    house.write("a.env", &format!("KEY={}\n", stranger()));
    let log = house.home.path().join("calls");
    let network = |calls: &str| {
        let words = [
            "socket(",
            "connect(",
            "epoll_create",
            "eventfd2(",
            "/ssl",
            "resolv.conf",
            "nsswitch",
        ];
        let lines = calls
            .lines()
            .filter(|line| words.iter().any(|word| line.contains(word)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for arguments in [&["scan", "."][..], &["scan", "--format", "json", "."]] {
        let Some(calls) = watched(&house, &log, arguments) else {
            let what = "SKIPPED: without strace nobody can tell whether a scan opens sockets";
            let _ = writeln!(std::io::stderr(), "{what}");
            return;
        };
        assert_eq!(network(&calls), Vec::<String>::new(), "{arguments:?}");
    }
    // And the check sees what it is for.
    let calls = watched(&house, &log, &["scan", "--verify", "--probe", "."]).unwrap();
    let seen = network(&calls);
    assert!(
        seen.iter().any(|line| line.contains("socket("))
            && seen.iter().any(|line| line.contains("epoll")),
        "{seen:?}"
    );
}

#[test]
fn the_templates_for_ci_do_not_verify() {
    for file in [
        "hooks/github/action.yml",
        "hooks/gitlab/skewer.gitlab-ci.yml",
        "hooks/server/pre-receive",
        ".pre-commit-hooks.yaml",
    ] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        for word in [
            "scan --verify",
            "history --verify",
            "--probe",
            "OPENAI_ADMIN_KEY",
        ] {
            assert!(!text.contains(word), "{file} says {word}");
        }
    }
}

/// Ends the sandbox even if the test fails.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_walk_through_of_the_readme_works() {
    let house = House::new(Shape::default());
    let directory = house.home.path().join("drill");
    let mut sandbox = house.command(&["sandbox", "--dir", directory.to_str().unwrap()]);
    let _sandbox = Ends(sandbox.stdout(Stdio::null()).spawn().unwrap());
    let environment = directory.join("env");
    for _ in 0..400 {
        if environment.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let path = PathBuf::from(env!("CARGO_BIN_EXE_skewer"));
    let walk = ". \"$0/env\" && \"$1\" scan --config $SANDBOX_DIR/config.toml --verify --probe $SANDBOX_DIR/leak && exit 9; \"$1\" keys list --config $SANDBOX_DIR/config.toml";
    let mut shell = Command::new("sh");
    shell.args(["-c", walk]).arg(&directory).arg(path);
    let output = house.under(shell, &[]).output().unwrap();
    let (code, out, err) = house.told(&output);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("Verified 4 keys: 2 live, 2 dead."),
        "{out}{err}"
    );
    assert!(
        out.contains("confirmed, by the answer to the key itself"),
        "{out}"
    );
    assert!(out.contains("(admin keys)"), "{out}");
}
