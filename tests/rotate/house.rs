//! An organisation, a service that reads its key from a file, and the configuration that says so.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use skewer::sandbox::{Clock, Fault, Options, Owner, Running, Sandbox, What};
use tempfile::TempDir;

/// See above.
pub(crate) struct House {
    pub(crate) home: TempDir,
    pub(crate) sandbox: Running,
    pub(crate) project: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

pub(crate) const STAGES: &str = "[[consumers.web.stages]]
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
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn configure(&self, stages: &str, policy: &str) {
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

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
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

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs it; nothing that it says holds a key.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.told(self.command(arguments).output().unwrap())
    }

    /// The same, with this on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Whoever is not interested hangs up.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        self.told(child.wait_with_output().unwrap())
    }

    /// Runs it while the API says nothing of use about keys that are tried.
    pub(crate) fn run_with_probes_refused(&self, arguments: &[&str]) -> (i32, String, String) {
        let fault = Fault::new(What::CaptivePortal).on("GET /v1/models");
        self.sandbox.with(|world| world.faults.push(fault));
        let outcome = self.run(arguments);
        self.sandbox.with(|world| world.faults.clear());
        outcome
    }

    /// A live service account's key besides the house's own: its id and value.
    pub(crate) fn another(&self) -> (String, String) {
        self.sandbox.with(|world| {
            let of_account = |id: &&str| {
                let key = world.key(id)?;
                let project = world.project(key.project.as_deref()?)?;
                let account = matches!(key.owner, Owner::ServiceAccount(_));
                let value = String::from_utf8(key.value.expose().to_vec()).unwrap();
                (account && project.archived.is_none() && key.id != self.key)
                    .then(|| (key.id.clone(), value))
            };
            world.live_keys().iter().find_map(of_account).unwrap()
        })
    }

    pub(crate) fn told(&self, output: Output) -> (i32, String, String) {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        self.assert_no_key(&out);
        self.assert_no_key(&err);
        (output.status.code().unwrap_or(-1), out, err)
    }

    pub(crate) fn assert_no_key(&self, text: &str) {
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

    pub(crate) fn live(&self) -> Vec<String> {
        self.sandbox
            .with(|world| world.live_keys().into_iter().map(str::to_owned).collect())
    }

    /// The value that consumers read.
    pub(crate) fn handed_out(&self) -> String {
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
    pub(crate) fn assert_rotated(&self, before: &[String]) {
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
    pub(crate) fn assert_as_before(&self, before: &[String]) {
        assert_eq!(self.live(), before);
        assert_eq!(self.handed_out(), self.value);
    }

    /// The trail's chain holds, and nothing that is written down holds a key but the store.
    pub(crate) fn assert_kept(&self) {
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

    pub(crate) fn wait_for(&self, name: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.path(name).exists() {
            assert!(Instant::now() < until, "{name} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The only rotation in the journal, and how it is listed.
    pub(crate) fn listed(&self) -> (String, String) {
        let (code, out, err) = self.run(&["rotate", "list"]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(out.lines().count(), 1, "{out}");
        (out.split_whitespace().next().unwrap().to_owned(), out)
    }
}
