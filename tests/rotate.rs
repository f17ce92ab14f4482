//! Rotation as its users meet it: the program, with the sandbox for OpenAI, a file for a store and
//! programs for rollouts.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![cfg(unix)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use skewer::sandbox::{Clock, Options, Owner, Running, Sandbox};
use tempfile::TempDir;

/// An organisation, a service that reads its key from a file, and the configuration that says so.
struct House {
    home: TempDir,
    sandbox: Running,
    project: String,
    key: String,
    value: String,
}

const STAGES: &str = "[[consumers.web.stages]]
name = 'canary'
kind = 'program'
command = ['sh', 'move.sh', 'canary']
[[consumers.web.stages]]
name = 'rest'
kind = 'program'
command = ['sh', 'move.sh', 'rest']
";

/// Notes that it ran, waits while a file says so, and fails if another does.
const MOVE: &str = "echo $1 $SKEWER_DIRECTION >> moves
while [ -e slow ]; do touch there; sleep 0.05; done
[ ! -e \"fail-$1-$SKEWER_DIRECTION\" ]
";

fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_millis() as i64
}

impl House {
    fn new() -> Self {
        let sandbox = Sandbox::start(Options {
            clock: Clock::running(milliseconds),
            ..Options::default()
        })
        .unwrap();
        let (project, key, value) = sandbox.with(|world| {
            let of_account = |id: &&str| {
                let key = world.key(id)?;
                let project = world.project(key.project.as_deref()?)?;
                let account = matches!(key.owner, Owner::ServiceAccount(_));
                let value = String::from_utf8(key.value.expose().to_vec()).unwrap();
                (account && project.archived.is_none())
                    .then(|| (project.id.clone(), key.id.clone(), value))
            };
            world.live_keys().iter().find_map(of_account).unwrap()
        });
        let house = Self {
            home: tempfile::tempdir().unwrap(),
            sandbox,
            project,
            key,
            value,
        };
        std::fs::create_dir_all(house.path("config/skewer")).unwrap();
        house.write(
            "admin",
            std::str::from_utf8(house.sandbox.admin_key().expose()).unwrap(),
        );
        house.write(
            "app.env",
            &format!("PORT=8080\nOPENAI_API_KEY={}\n", house.value),
        );
        house.write("move.sh", MOVE);
        house.configure(STAGES, "");
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn configure(&self, stages: &str, policy: &str) {
        let home = self.home.path().display();
        let text = format!(
            "[openai]
api = '{}'
requests-per-minute = 0
probes-per-minute = 0
[profiles.acme]
admin-key = {{ file = '{home}/admin' }}
[stores.app]
kind = 'file'
path = '{home}/app.env'
key = 'OPENAI_API_KEY'
[consumers.web]
store = 'app'
{stages}
[audit]
file = '{home}/trail.jsonl'
[policy]
quiet = '1s'
settling = '1s'
between = '0s'
proof = '0s'
answers = 2
tries = 2
words = {{ customer = 'acme', env = 'test' }}
{policy}
",
            self.sandbox.url()
        );
        self.write("config/skewer/config.toml", &text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewer"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("USER", "ann")
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full");
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs it; nothing that it says holds a key.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.told(self.command(arguments).output().unwrap())
    }

    fn told(&self, output: Output) -> (i32, String, String) {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        self.assert_no_key(&out);
        self.assert_no_key(&err);
        (output.status.code().unwrap_or(-1), out, err)
    }

    fn assert_no_key(&self, text: &str) {
        let middles = self.sandbox.with(|world| {
            let middle =
                |value: &[u8]| String::from_utf8_lossy(&value[12..value.len() - 6]).into_owned();
            let values = world.keys.iter().map(|key| middle(key.value.expose()));
            values.collect::<Vec<_>>()
        });
        for middle in middles {
            assert!(!text.contains(&middle), "a key was told:\n{text}");
        }
    }

    fn live(&self) -> Vec<String> {
        self.sandbox
            .with(|world| world.live_keys().into_iter().map(str::to_owned).collect())
    }

    /// The value that consumers read.
    fn handed_out(&self) -> String {
        let text = self.read("app.env");
        assert!(
            text.starts_with("PORT=8080\n"),
            "the rest of the file stays"
        );
        text.lines()
            .nth(1)
            .unwrap()
            .strip_prefix("OPENAI_API_KEY=")
            .unwrap()
            .to_owned()
    }

    /// Key A is gone, exactly one key came, and it is the one that consumers read.
    fn assert_rotated(&self, before: &[String]) {
        let after = self.live();
        assert!(!after.contains(&self.key));
        let made: Vec<&String> = after.iter().filter(|id| !before.contains(id)).collect();
        assert_eq!((made.len(), after.len()), (1, before.len()));
        let value = self.sandbox.with(|world| {
            String::from_utf8(world.key(made[0]).unwrap().value.expose().to_vec()).unwrap()
        });
        assert_eq!(self.handed_out(), value);
    }

    /// Nothing is left but what was there before.
    fn assert_as_before(&self, before: &[String]) {
        assert_eq!(self.live(), before);
        assert_eq!(self.handed_out(), self.value);
    }

    /// The trail's chain holds, and nothing that is written down holds a key but the store.
    fn assert_kept(&self) {
        let trail = self.path("trail.jsonl");
        let (code, out, err) = self.run(&["audit", "verify", trail.to_str().unwrap()]);
        assert_eq!(code, 0, "{out}{err}");
        self.assert_no_key(&self.read("trail.jsonl"));
        for name in ["journal.sqlite", "other.sqlite"] {
            if let Ok(bytes) = std::fs::read(self.path("state/skewer").join(name)) {
                self.assert_no_key(&String::from_utf8_lossy(&bytes));
            }
        }
    }

    fn wait_for(&self, name: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.path(name).exists() {
            assert!(Instant::now() < until, "{name} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The only rotation in the journal, and how it is listed.
    fn listed(&self) -> (String, String) {
        let (code, out, err) = self.run(&["rotate", "list"]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(out.lines().count(), 1, "{out}");
        (out.split_whitespace().next().unwrap().to_owned(), out)
    }
}

#[test]
fn a_plan_says_everything_and_changes_nothing() {
    let house = House::new();
    let before = house.live();
    let (code, out, err) = house.run(&["rotate", "start", &house.key]);
    assert_eq!(code, 0, "{out}{err}");
    let mut from = 0;
    for text in [
        &format!("of {} (sk-", house.key),
        &format!("project  {}", house.project),
        "owner    service account",
        "used by  web/canary (canary), from app",
        "used by  web/rest (rest), from app",
        "What will be done:",
        "take the lock at app",
        "create key B, ",
        "write key B to the staging side of app",
        "ask with key B until it answers 2 times",
        "make key B the current one at app",
        "roll web/canary out: sh move.sh canary",
        "roll web/rest out: sh move.sh rest",
        "wait until key A has stood still for 1 s",
        "list again, then delete key A",
        "prove that key A is dead",
        "What can't be undone:",
        "What to know:",
        "no health check",
        "If a step fails:",
        "gives key A back to all consumers",
        "least rights",
        "It takes at least 1 s",
        "Nothing was changed",
    ] {
        let at = out[from..].find(text);
        from += at.unwrap_or_else(|| panic!("{text:?} is not (there) in\n{out}"));
    }
    house.assert_as_before(&before);
    for name in ["moves", "trail.jsonl", "state", "app.env.skewer-next"] {
        assert!(!house.path(name).exists(), "{name}");
    }
}

#[test]
fn a_key_is_rotated_and_all_of_it_is_on_record() {
    let house = House::new();
    let before = house.live();
    let begun = Instant::now();
    let (code, _, err) = house.run(&[
        "rotate",
        "start",
        &house.key,
        "--apply",
        "--yes",
        "--ticket",
        "OPS-7",
        "--approver",
        "eve",
    ]);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("✓ prove that key A is dead") && err.contains("took the place of"),
        "{err}"
    );
    assert!(begun.elapsed() < Duration::from_secs(30));
    house.assert_rotated(&before);
    assert_eq!(house.read("moves"), "canary forward\nrest forward\n");
    house.assert_kept();
    let trail = house.read("trail.jsonl");
    assert!(trail.contains("OPS-7") && trail.contains("eve") && trail.contains("ann"));
    let (id, line) = house.listed();
    assert!(line.contains("done"), "{line}");
    let (code, out, _) = house.run(&["rotate", "status", &id]);
    assert_eq!(code, 0);
    assert!(
        out.contains("✓ revoke key A") && out.contains("key B  key_"),
        "{out}"
    );
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(house.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (mode("state/skewer"), mode("state/skewer/journal.sqlite")),
        (0o700, 0o600)
    );
    // Nothing of it is left beside the file.
    let beside = std::fs::read_dir(house.home.path()).unwrap();
    let names = beside.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names
        .filter(|name| name.starts_with("app.env.") || name.starts_with(".app.env."))
        .collect();
    for name in &left {
        assert!(!house.read(name).contains(&house.handed_out()), "{name}");
    }
    // The key is gone, so there is nothing to do again.
    let (code, _, err) = house.run(&["rotate", "start", &house.key]);
    assert_eq!(code, 2);
    assert!(err.contains("no key"), "{err}");
}

#[test]
fn an_abused_key_goes_before_its_consumers_are_moved() {
    let house = House::new();
    let before = house.live();
    let start = ["rotate", "start", &house.key, "--strategy", "immediate"];
    let (code, out, _) = house.run(&start);
    assert_eq!(code, 0);
    assert!(out.contains("these consumers fail from key A's deletion until they are rolled out: web/canary, web/rest"), "{out}");
    let (code, _, err) = house.run(&[&start[..], &["--apply", "--yes"]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(
        err.find("✓ revoke key A") < err.find("✓ roll web/canary"),
        "{err}"
    );
    house.assert_rotated(&before);
    house.assert_kept();
}

#[test]
fn a_canary_that_fails_is_rolled_back() {
    let house = House::new();
    let before = house.live();
    house.write("fail-canary-forward", "");
    let (code, _, err) = house.run(&["rotate", "start", &house.key, "--apply", "--yes"]);
    assert_eq!(code, 5, "{err}");
    assert!(
        err.contains("is undone") && err.contains("lives and is leaked"),
        "{err}"
    );
    house.assert_as_before(&before);
    assert_eq!(house.read("moves"), "canary forward\ncanary back\n");
    house.assert_kept();
    // The way is free for another try.
    std::fs::remove_file(house.path("fail-canary-forward")).unwrap();
    let (code, _, err) = house.run(&["rotate", "start", &house.key, "--apply", "--yes"]);
    assert_eq!(code, 0, "{err}");
    house.assert_rotated(&before);
}

#[test]
fn three_stages_are_moved_in_order_and_brought_back_together() {
    let house = House::new();
    let before = house.live();
    let (canary, rest) = STAGES.split_at(STAGES.rfind("[[consumers.web.stages]]").unwrap());
    let quarter = canary.replace("canary", "quarter");
    house.configure(&format!("{canary}{quarter}{rest}"), "");
    house.write("fail-quarter-forward", "");
    let (code, _, err) = house.run(&["rotate", "start", &house.key, "--apply", "--yes"]);
    assert_eq!(code, 5, "{err}");
    house.assert_as_before(&before);
    assert_eq!(
        house.read("moves"),
        "canary forward\nquarter forward\ncanary back\nquarter back\n"
    );
    std::fs::remove_file(house.path("fail-quarter-forward")).unwrap();
    std::fs::remove_file(house.path("moves")).unwrap();
    let (code, _, err) = house.run(&["rotate", "start", &house.key, "--apply", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let rest = house.read("moves");
    assert!(
        rest.starts_with("canary forward\nquarter forward\n"),
        "{rest}"
    );
    assert_eq!(rest.lines().count(), 3, "{rest}");
    house.assert_rotated(&before);
    house.assert_kept();
}

#[test]
fn a_killed_rotation_is_resumed() {
    let house = House::new();
    let before = house.live();
    house.write("slow", "");
    let mut child = house.start(&["rotate", "start", &house.key, "--apply", "--yes"]);
    house.wait_for("there");
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(house.path("slow")).unwrap();
    let (id, line) = house.listed();
    assert!(line.contains("probed") || line.contains("canary"), "{line}");
    assert_eq!(house.run(&["rotate", "status", &id]).0, 4);
    let (code, _, err) = house.run(&["rotate", "start", &house.key]);
    assert_eq!(code, 2);
    assert!(
        err.contains(&format!("rotation {id} of this key has not ended")),
        "{err}"
    );
    let (code, _, err) = house.run(&["rotate", "resume", &id]);
    assert_eq!(code, 0, "{err}");
    house.assert_rotated(&before);
    house.assert_kept();
}

#[test]
fn a_killed_rotation_is_aborted() {
    let house = House::new();
    let before = house.live();
    house.write("slow", "");
    let mut child = house.start(&["rotate", "start", &house.key, "--apply", "--yes"]);
    house.wait_for("there");
    // While it runs, nobody else takes it over.
    let (id, _) = house.listed();
    let (code, _, err) = house.run(&["rotate", "abort", &id]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("another process works on rotation"), "{err}");
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(house.path("slow")).unwrap();
    // Key A may be handed over, and no other.
    let mut wrong = house.command(&["rotate", "abort", &id, "--key-a"]);
    let mut wrong = wrong.stdin(Stdio::piped()).spawn().unwrap();
    wrong.stdin.take().unwrap().write_all(b"another\n").unwrap();
    let (code, _, err) = house.told(wrong.wait_with_output().unwrap());
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("not key A"), "{err}");
    let mut abort = house.command(&["rotate", "abort", &id, "--why", "we think again", "--key-a"]);
    let mut abort = abort.stdin(Stdio::piped()).spawn().unwrap();
    abort
        .stdin
        .take()
        .unwrap()
        .write_all(house.value.as_bytes())
        .unwrap();
    let (code, _, err) = house.told(abort.wait_with_output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("we think again"), "{err}");
    house.assert_as_before(&before);
    assert!(house.read("moves").ends_with("canary back\n"));
    assert!(house.listed().1.contains("undone"));
    house.assert_kept();
    let (code, _, err) = house.run(&["rotate", "resume", "00000000"]);
    assert_eq!(code, 2);
    assert!(err.contains("no rotation 00000000"), "{err}");
}

#[test]
fn of_two_that_start_at_once_one_is_refused() {
    for journals in [["journal", "journal"], ["journal", "other"]] {
        let house = House::new();
        let before = house.live();
        let start = |name: &str| {
            let journal = house.path(&format!("state/skewer/{name}.sqlite"));
            house.start(&[
                "rotate",
                "start",
                &house.key,
                "--apply",
                "--yes",
                "--journal",
                journal.to_str().unwrap(),
            ])
        };
        let both = journals.map(start);
        let ended = both.map(|child| house.told(child.wait_with_output().unwrap()));
        let done = ended.iter().filter(|(code, ..)| *code == 0).count();
        assert_eq!(done, 1, "{journals:?}: {ended:#?}");
        let (code, _, err) = ended.iter().find(|(code, ..)| *code != 0).unwrap();
        assert!([2, 5].contains(code), "{journals:?}: {code} {err}");
        house.assert_rotated(&before);
        house.assert_kept();
    }
}

#[test]
fn a_key_without_consumers_is_revoked() {
    let house = House::new();
    let before = house.live();
    let (code, _, err) = house.run(&["revoke", &house.key]);
    assert_eq!(code, 2);
    assert!(
        err.contains("app hands this key out") && err.contains("rotate start"),
        "{err}"
    );
    let of_a_person = house.sandbox.with(|world| {
        let person = |id: &&String| {
            let key = world.key(id).unwrap();
            matches!(key.owner, Owner::User(_)) && key.project.is_some()
        };
        before.iter().find(person).unwrap().clone()
    });
    let (code, out, err) = house.run(&["revoke", &of_a_person]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("delete key A") && out.contains("value is not at hand"),
        "{out}"
    );
    house.assert_as_before(&before);
    let (code, _, err) = house.run(&["revoke", &of_a_person, "--apply", "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("nobody tried whether it still works"), "{err}");
    let left: Vec<String> = before.into_iter().filter(|id| *id != of_a_person).collect();
    house.assert_as_before(&left);
    house.assert_kept();
}

#[test]
fn what_would_fail_later_is_said_before_anything_is_made() {
    let house = House::new();
    let before = house.live();
    let apply = ["rotate", "start", &house.key, "--apply", "--yes"];
    let refused = |arguments: &[&str], why: &str| {
        let (code, out, err) = house.run(arguments);
        assert_eq!(code, 2, "{why}: {out}{err}");
        assert!(err.contains(why), "{why}: {err}");
        house.assert_as_before(&before);
        assert!(!house.path("moves").exists());
    };
    refused(
        &["rotate", "start", "key_nobody"],
        "no key key_nobody in this organisation",
    );
    refused(
        &[&apply[..], &["--consumer", "wbe"]].concat(),
        "no consumer wbe",
    );
    refused(
        &["revoke", &house.key, "--no-config"],
        "Project settings → API keys",
    );
    // Nobody is there to be asked.
    refused(&["rotate", "start", &house.key, "--apply"], "--yes");
    let of_a_person = house.sandbox.with(|world| {
        let person = |id: &&String| {
            let key = world.key(id).unwrap();
            let project = key.project.as_deref().and_then(|id| world.project(id));
            matches!(key.owner, Owner::User(_)) && project.is_some_and(|one| one.archived.is_none())
        };
        before.iter().find(person).unwrap().clone()
    });
    let of_person = ["rotate", "start", &of_a_person, "--apply", "--yes"];
    refused(&of_person, "is a person's");
    refused(&of_person, "--handed");
    refused(&of_person, "--to-service-account");
    let admin = house.sandbox.with(|world| {
        let admin = |id: &&String| world.key(id).unwrap().project.is_none();
        before.iter().find(admin).unwrap().clone()
    });
    refused(&["revoke", &admin, "--apply", "--yes"], "is an admin key");
    for (policy, why) in [
        ("qiet = '1s'", "did you mean `quiet`?"),
        ("name = '{yy}-{team}'", "{team}"),
        ("lease = '1s'", "`lease` is at least"),
    ] {
        house.configure(STAGES, policy);
        refused(&apply, why);
    }
    house.configure(&STAGES.replace("command", "comand"), "");
    refused(&apply, "did you mean `command`?");
    house.configure(STAGES, "");
    house.write("app.env", "PORT=8080\nOPENAI_API_KEY=\n");
    let (code, _, err) = house.run(&apply);
    assert_eq!(code, 2, "{err}");
    assert_eq!(house.live(), before);
}

#[test]
fn in_ci_a_journal_has_to_be_named() {
    let house = House::new();
    let before = house.live();
    let apply = ["rotate", "start", &house.key, "--apply", "--yes"];
    let ci = |arguments: &[&str]| {
        let mut command = house.command(arguments);
        command
            .env("CI", "true")
            .env("CI_JOB_URL", "https://gitlab.example.com/-/jobs/7");
        house.told(command.output().unwrap())
    };
    let (code, _, err) = ci(&apply);
    assert_eq!(code, 2);
    assert!(err.contains("--journal FILE"), "{err}");
    house.assert_as_before(&before);
    let journal = house.path("kept/journal.sqlite");
    let (code, _, err) = ci(&[&apply[..], &["--journal", journal.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(journal.exists());
    assert!(house.read("trail.jsonl").contains("/-/jobs/7"));
    house.assert_rotated(&before);
}

#[test]
fn a_project_is_contained_and_gets_its_limits_back() {
    let house = House::new();
    let (code, plan, err) = house.run(&["contain", &house.project]);
    assert_eq!(code, 0, "{err}");
    assert!(
        plan.contains("→ 0.01 USD a month") && plan.contains("→ 1 requests"),
        "{plan}"
    );
    assert!(plan.contains("Nothing was changed") && !house.path("state").exists());
    let limits = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("  "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let (code, out, err) = house.run(&["contain", &house.project, "--apply", "--yes"]);
        assert_eq!(code, 0, "{err}");
        assert!(out.ends_with("is contained.\n"), "{out}");
    }
    let (_, now, _) = house.run(&["contain", &house.project]);
    assert!(now.contains("contained already"), "{now}");
    assert_ne!(limits(&now), limits(&plan));
    let (code, out, err) = house.run(&["contain", &house.project, "--restore"]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, again, _) = house.run(&["contain", &house.project]);
    assert_eq!(again, plan);
    let (code, _, err) = house.run(&["contain", &house.project, "--restore"]);
    assert_eq!(code, 2);
    assert!(err.contains("not contained"), "{err}");
    assert_eq!(house.run(&["contain", "proj_nobody"]).0, 2);
    house.assert_kept();
}

#[test]
fn old_and_misnamed_keys_are_due() {
    let house = House::new();
    let (code, out, err) = house.run(&["rotate", "due"]);
    assert_eq!(code, 1, "{err}");
    assert!(
        out.contains("older than 90 days") && out.contains("named otherwise"),
        "{out}"
    );
    assert!(out.contains(&house.key), "{out}");
    let days: Vec<u64> = out
        .lines()
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    assert!(days.is_sorted_by(|a, b| a >= b), "{out}");
}
