//! `skewer audit` as its users meet it: exit codes, heads, exports.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use skewer::audit::{Activity, Entity, EntityKind, Event, Outcome, Step, Trail, Who};
use skewer::rules::Template;
use skewer::secret::Masked;

struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(records: usize) -> Self {
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        bench.append(records);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn append(&self, records: usize) {
        let who = Who {
            actor: Masked::vouched("ann"),
            host: Masked::vouched("build-1"),
            ..Who::default()
        };
        let trail = Trail::new(self.path("trail.jsonl"), who);
        for _ in 0..records {
            let step = Step {
                rotation: "r1".to_owned(),
                step: "created".to_owned(),
                activity: Activity::Create,
                entity: Entity {
                    kind: EntityKind::ApiKey,
                    id: Masked::vouched("key_1"),
                    name: None,
                    key: None,
                },
                outcome: Outcome::Success,
                detail: None,
                facts: Default::default(),
            };
            let time = "2026-11-23T08:00:00Z".parse().unwrap();
            trail.append(time, &Event::Step(step)).unwrap();
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_skewer"))
            .arg("audit")
            .args(arguments)
            .current_dir(self.directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap()
    }
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap()
}

fn edit(path: &Path, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(&text)).unwrap();
}

#[test]
fn a_trail_holds_until_it_is_changed() {
    let bench = Bench::new(3);
    let head = bench.run(&["head", "trail.jsonl"]);
    assert_eq!(head.status.code(), Some(0), "{}", text(&head));
    std::fs::write(bench.path("head"), &head.stdout).unwrap();
    bench.append(2);
    let verify = ["verify", "trail.jsonl", "--head-file", "head"];
    let held = bench.run(&verify);
    assert_eq!(held.status.code(), Some(0));
    assert_eq!(
        text(&held),
        "the trail holds: 5 lines, 2 of them since the head\n"
    );
    // A cut end is found by the head alone.
    edit(&bench.path("trail.jsonl"), |text| {
        text.split_inclusive('\n').take(2).collect()
    });
    assert_eq!(bench.run(&["verify", "trail.jsonl"]).status.code(), Some(0));
    let cut = bench.run(&verify);
    assert_eq!(cut.status.code(), Some(1));
    assert!(text(&cut).contains("its end was cut"), "{}", text(&cut));
    edit(&bench.path("trail.jsonl"), |text| {
        text.replacen("ann", "bob", 1)
    });
    let changed = bench.run(&["verify", "trail.jsonl"]);
    assert_eq!(changed.status.code(), Some(1));
    assert!(
        text(&changed).contains("line 2 does not follow"),
        "{}",
        text(&changed)
    );
    for refused in [&["export", "trail.jsonl"][..], &["head", "trail.jsonl"]] {
        let refused = bench.run(refused);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    }
    assert_eq!(bench.run(&["verify", "none"]).status.code(), Some(2));
    assert_eq!(
        bench
            .run(&["verify", "trail.jsonl", "--head", "x"])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn a_head_counts_for_as_much_as_its_signature() {
    let bench = Bench::new(3);
    let keygen = |arguments: &[&str]| {
        Command::new("ssh-keygen")
            .args(arguments)
            .current_dir(bench.directory.path())
            .output()
    };
    if keygen(&["-t", "ed25519", "-N", "", "-q", "-f", "ann"]).is_err() {
        eprintln!("SKIPPED: no ssh-keygen here, so no signature is made or checked");
        return;
    }
    keygen(&["-t", "ed25519", "-N", "", "-q", "-f", "bob"]).unwrap();
    let public = std::fs::read_to_string(bench.path("ann.pub")).unwrap();
    std::fs::write(bench.path("signers"), format!("ann@example.com {public}")).unwrap();
    let head = bench.run(&["head", "trail.jsonl"]).stdout;
    std::fs::write(bench.path("head"), &head).unwrap();
    let sign = |who: &str, namespace: &str, file: &str| {
        std::fs::write(bench.path(file), &head).unwrap();
        let sign = keygen(&["-Y", "sign", "-n", namespace, "-f", who, file]).unwrap();
        assert!(sign.status.success(), "{}", text(&sign));
    };
    sign("ann", "skewer", "head");
    sign("bob", "skewer", "bobs");
    sign("ann", "git", "for-git");
    let verify = |head: &str, signature: &str| {
        let output = bench.run(&[
            "verify",
            "trail.jsonl",
            "--head-file",
            head,
            "--signature",
            signature,
            "--allowed-signers",
            "signers",
        ]);
        (output.status.code().unwrap(), text(&output))
    };
    let (code, said) = verify("head", "head.sig");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.starts_with("the head was signed by ann@example.com\nthe trail holds"),
        "{said}"
    );
    let (code, said) = verify("head", "bobs.sig");
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("nobody in signers made this signature"),
        "{said}"
    );
    let (code, said) = verify("head", "for-git.sig");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is not that of this head"), "{said}");
    // Another head, with the signature of this one.
    bench.append(1);
    let later = bench.run(&["head", "trail.jsonl"]).stdout;
    std::fs::write(bench.path("later"), later).unwrap();
    let (code, said) = verify("later", "head.sig");
    assert_eq!(code, 1, "{said}");
    let alone = bench.run(&["verify", "trail.jsonl", "--signature", "head.sig"]);
    assert_eq!(alone.status.code(), Some(2), "{}", text(&alone));
}

#[test]
fn records_go_to_standard_output_or_to_a_log_server() {
    let bench = Bench::new(3);
    let wazuh = bench.run(&[
        "export",
        "trail.jsonl",
        "--profile",
        "wazuh",
        "--after",
        "1",
    ]);
    assert_eq!(wazuh.status.code(), Some(0), "{}", text(&wazuh));
    let lines = String::from_utf8(wazuh.stdout).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert!(
        lines
            .lines()
            .all(|line| line.contains("\"skewer_actor\":\"ann\""))
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tcp://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut got = String::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_string(&mut got)
            .unwrap();
        got
    });
    let sent = bench.run(&["export", "trail.jsonl", "--to", &to]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent));
    assert!(text(&sent).contains("sent 3 records"));
    let got = thread.join().unwrap();
    assert_eq!(
        got.matches("<109>1 2026-11-23T08:00:00.000000Z build-1 skewer - step - {")
            .count(),
        3
    );
    assert_eq!(got.matches("\"class_uid\":3004").count(), 3);
}

#[test]
fn a_key_that_somebody_wrote_into_a_trail_is_not_shown() {
    let bench = Bench::new(0);
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    let key = template.fill(7).key;
    let who = Who {
        actor: Masked::vouched(key.clone()),
        ..Who::default()
    };
    let trail = Trail::new(bench.path("trail.jsonl"), who);
    let step = Step {
        rotation: "r1".to_owned(),
        step: "x".to_owned(),
        activity: Activity::Other,
        entity: Entity {
            kind: EntityKind::Rotation,
            id: Masked::vouched("r1"),
            name: None,
            key: None,
        },
        outcome: Outcome::Success,
        detail: None,
        facts: Default::default(),
    };
    trail
        .append("2026-11-23T08:00:00Z".parse().unwrap(), &Event::Step(step))
        .unwrap();
    for profile in ["ocsf", "wazuh", "trail"] {
        let out = text(&bench.run(&["export", "trail.jsonl", "--profile", profile]));
        let key = String::from_utf8_lossy(key.as_ref()).into_owned();
        assert!(out.contains("sk-proj-") && !out.contains(&key), "{out}");
    }
}

/// Debian's rsyslog. It ends when it is dropped.
#[cfg(unix)]
struct Rsyslog {
    child: std::process::Child,
    directory: tempfile::TempDir,
    /// For plain messages, then for those over TLS.
    ports: [u16; 2],
}

#[cfg(unix)]
impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
impl Rsyslog {
    /// `None`, loudly, where there is none; `.ci/run` brings one.
    #[allow(clippy::print_stderr)]
    fn start() -> Option<Self> {
        let Some(root) = std::env::var_os("SKEWER_TEST_RSYSLOG").map(PathBuf::from) else {
            eprintln!(
                "SKIPPED: no rsyslog here; SKEWER_TEST_RSYSLOG names the directory that Debian's packages were unpacked in (see .ci/run)"
            );
            return None;
        };
        let library = root.join("usr/lib/x86_64-linux-gnu");
        let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/tests");
        let directory = tempfile::tempdir().unwrap();
        let ports = [(); 2].map(|()| {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        });
        let settings = format!(
            r#"
global(workDirectory="{here}" maxMessageSize="64k"
  defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{certificates}/root.pem"
  defaultNetstreamDriverCertFile="{certificates}/good.pem" defaultNetstreamDriverKeyFile="{certificates}/leaf.pem")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="all" type="string"
  string="%inputname%|%pri%|%protocol-version%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%structured-data%|%msg%\n")
ruleset(name="keep") {{ action(type="omfile" file="{here}/received" template="all" asyncWriting="off" flushOnTXEnd="on") }}
input(type="imudp" address="127.0.0.1" port="{0}" ruleset="keep")
input(type="imptcp" address="127.0.0.1" port="{0}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{1}" ruleset="keep")
"#,
            ports[0],
            ports[1],
            here = directory.path().display(),
            certificates = certificates.display(),
        );
        std::fs::write(directory.path().join("rsys.conf"), settings).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(root.join("usr/sbin/rsyslogd"))
            .env("LD_LIBRARY_PATH", &library)
            .arg("-M")
            .arg(library.join("rsyslog"))
            .args(["-n", "-iNONE", "-f", "rsys.conf"])
            .current_dir(directory.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let rsyslog = Self {
            child,
            directory,
            ports,
        };
        for _ in 0..200 {
            let listens = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
            if rsyslog.ports.iter().all(listens) {
                return Some(rsyslog);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(rsyslog.directory.path().join("log"));
        panic!("rsyslog did not start within 10 s: {log:?}");
    }

    /// What one kind of input has received, once it is so many lines.
    fn received(&self, input: &str, wanted: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for _ in 0..200 {
            let text = std::fs::read_to_string(self.directory.path().join("received"));
            let text = text.unwrap_or_default();
            let of_input = text.lines().filter_map(|line| line.split_once('|'));
            let of_input = of_input.filter(|(from, _)| *from == input);
            lines = of_input.map(|(_, line)| line.to_owned()).collect();
            if lines.len() >= wanted {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        lines
    }
}

#[test]
#[cfg(unix)]
fn a_real_rsyslog_receives_every_record_over_each_transport() {
    let Some(rsyslog) = Rsyslog::start() else {
        return;
    };
    let bench = Bench::new(20);
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/tests/root.pem");
    let ca = ca.to_str().unwrap();
    let [plain, tls] = rsyslog.ports;
    for (profile, wanted) in [("wazuh", 20), ("ocsf", 40), ("trail", 60)] {
        for (transport, port, input) in [
            ("udp", plain, "imudp"),
            ("tcp", plain, "imptcp"),
            ("tls", tls, "imtcp"),
        ] {
            let to = format!("{transport}://127.0.0.1:{port}");
            let mut export = vec!["export", "trail.jsonl", "--profile", profile, "--to", &to];
            if transport == "tls" {
                export.extend(["--ca", ca]);
            }
            let sent = bench.run(&export);
            assert_eq!(sent.status.code(), Some(0), "{to}: {}", text(&sent));
            let received = rsyslog.received(input, wanted);
            assert_eq!(received.len(), wanted, "{to}");
            // What it would have printed is what stands in the messages.
            let printed = text(&bench.run(&["export", "trail.jsonl", "--profile", profile]));
            let bodies: Vec<&str> = printed.lines().collect();
            for (line, body) in received[wanted - 20..].iter().zip(bodies) {
                let fields: Vec<&str> = line.splitn(9, '|').collect();
                assert_eq!(
                    fields[1..8],
                    [
                        "1",
                        "2026-11-23T08:00:00.000000Z",
                        "build-1",
                        "skewer",
                        "-",
                        "step",
                        "-"
                    ],
                    "{line}"
                );
                assert_eq!(fields[8].trim_start(), body, "{to}");
            }
        }
    }
    // Whom nobody vouches for gets nothing.
    let to = format!("tls://127.0.0.1:{tls}");
    let refused = bench.run(&["export", "trail.jsonl", "--to", &to]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert_eq!(rsyslog.received("imtcp", 60).len(), 60);
}
