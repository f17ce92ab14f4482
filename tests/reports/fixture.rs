//! One run that holds what a report must get right: keys of several kinds, in many places, behind
//! names that try to break out of their field.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use skewer::coverage::{Coverage, Excluded, Failure, Limit, Unread};
use skewer::finding::{Context, Finding, Location, Member, Place, ShownPath, Status, Suppression};
use skewer::matcher::Matcher;
use skewer::report::{Entry, Options, Run, Suppressions, format};
use skewer::rules::{Rules, Template};
use skewer::secret::Masked;
use skewer::verdict::{
    Check, Checks, Deed, Evidence, Exposure, Life, Listing, ListingInfo, Money, Owner, Record,
    RecordKind, Seen, Since, Spent, Unusable, Verdict, Why, decide,
};

pub(crate) struct Fixture {
    pub(crate) findings: Vec<Finding>,
    pub(crate) keys: Vec<String>,
    pub(crate) coverage: Coverage,
    pub(crate) suppressions: Suppressions,
    pub(crate) target: Masked,
    pub(crate) checks: Option<Checks>,
}

struct Maker {
    matcher: Matcher,
    findings: Vec<Finding>,
}

fn key(template: &str, seed: u64) -> String {
    Template::parse(template).unwrap().fill(seed).key
}

impl Maker {
    fn path(&self, raw: &[u8]) -> ShownPath {
        ShownPath::new(
            PathBuf::from(OsStr::from_bytes(raw)),
            self.matcher.redact(raw),
        )
    }

    /// Searches `text` as if it stood in `place` from `line` on.
    fn scan(&mut self, place: Place, line: u64, text: &[u8], status: Status) {
        let before = self.findings.len();
        for hit in self.matcher.search_all(text) {
            let start = text[..hit.span.start]
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |at| at + 1);
            let end = text[hit.span.end..]
                .iter()
                .position(|b| *b == b'\n')
                .map_or(text.len(), |at| hit.span.end + at);
            let span = hit.span.start - start..hit.span.end - start;
            let shown = self
                .matcher
                .redact_line(&text[start..end], span.clone(), 120);
            self.findings.push(Finding {
                rule: hit.rule,
                secret: hit.secret,
                fingerprint: hit.fingerprint,
                confidence: hit.confidence,
                decoders: hit.decoders,
                location: Location {
                    members: Vec::new(),
                    place: place.clone(),
                    offset: (line - 1) * 40 + hit.span.start as u64,
                    length: hit.span.len() as u64,
                    line: line + text[..start].iter().filter(|b| **b == b'\n').count() as u64,
                    column: span.start as u64 + 1,
                },
                context: Context {
                    line: shown.text,
                    key: shown.key,
                },
                status: status.clone(),
            });
        }
        assert!(self.findings.len() > before, "no key in {place}");
    }
}

pub(crate) fn complete() -> Fixture {
    let admin = key("sk-admin-{long:58,58}", 1);
    let project = key("sk-proj-{long:74,74}", 2);
    let service = key("sk-svcacct-{long:59,60}", 3);
    let user = key("sk-{alnum:20}T3BlbkFJ{alnum:20}", 4);
    let old = key("sk-proj-{long:58,58}", 5);
    let mut make = Maker {
        matcher: Matcher::new(&Rules::built_in(), None),
        findings: Vec::new(),
    };
    let file = |make: &Maker, raw: &[u8]| Place::File(make.path(raw));

    for n in (1..=23).rev() {
        let place = file(&make, format!("logs/app-{n:02}.log").as_bytes());
        let text = format!("GET /v1/models 401 authorization=\"Bearer {project}\"");
        make.scan(place, n * 100, text.as_bytes(), Status::Counts);
    }
    let place = file(&make, b"src/settings.py");
    let text = format!("# old\n    OPENAI_ADMIN_KEY = \"{admin}\"  # {user}\n");
    make.scan(place, 11, text.as_bytes(), Status::Counts);
    let place = file(&make, b"config/app.b64");
    make.scan(place, 1, service.as_bytes(), Status::Counts);
    make.findings.last_mut().unwrap().decoders = vec!["base64", "utf16"];

    // Names that hold a key, drive a terminal, end a field or a line, aren't UTF-8, compute.
    let name = format!("exports/{service}/notes.txt");
    let place = Place::FileName(make.path(name.as_bytes()));
    make.scan(place, 1, name.as_bytes(), Status::Counts);
    let nasty: [&[u8]; 6] = [
        b"we\x1b[31mird\n::error::x, y:z%20%\xe2\x80\xae.env",
        b"bad-\xff\xfe\x9b.env",
        b"=cmd|' /C calc'!A0,\"quoted\"",
        "näme/日本 \u{ffff}&<b>.env".as_bytes(),
        b"/etc/app/[link](x) {0}.conf",
        format!("backup-{user}/{user}.env").leak().as_bytes(),
    ];
    for (n, raw) in nasty.into_iter().enumerate() {
        let place = file(&make, raw);
        let text = format!("日本 \u{1b}]0;x\u{7}\u{202e} password=hunter2-{n} key={user}\r\n");
        make.scan(place, 1, text.as_bytes(), Status::Counts);
    }
    let stream = Place::Stream("standard input \u{1b}[2J".to_owned());
    make.scan(stream, 7, user.as_bytes(), Status::Counts);

    // In containers: in a member, and in a member's name.
    let member = |make: &Maker, kind: &'static str, raw: &[u8]| Member {
        kind,
        name: make.path(raw).shown().clone(),
        is_content: kind == "gzip",
    };
    let place = file(&make, b"dist/image.tar");
    make.scan(place.clone(), 14, user.as_bytes(), Status::Counts);
    make.findings.last_mut().unwrap().location.members = vec![
        member(&make, "layer", b"3"),
        member(&make, "gzip", b""),
        member(&make, "file", b"app/\x1b[2Jlib.jar"),
        member(&make, "file", b"application.properties"),
    ];
    make.scan(place, 1, user.as_bytes(), Status::Counts);
    make.findings.last_mut().unwrap().location.members = vec![
        member(&make, "file", user.as_bytes()),
        member(&make, "name", b""),
    ];

    let staged = |make: &Maker, raw: &[u8]| Place::Staged {
        path: make.path(raw),
        blob: "a1b2c3d4".repeat(5),
    };
    let place = staged(&make, b"src/moved.py");
    make.scan(place, 3, old.as_bytes(), Status::Before);
    let marker = Suppression::Marker {
        marker: "skewer:allow".to_owned(),
    };
    let place = file(&make, b"docs/example.md");
    make.scan(place, 5, old.as_bytes(), Status::Suppressed(marker));
    let baseline = Suppression::Baseline {
        reason: "revoked, kept for the\ncourt \u{1b}[8m".to_owned(),
    };
    let place = file(&make, b"docs/case.md");
    make.scan(place, 6, old.as_bytes(), Status::Suppressed(baseline));

    let mut coverage = Coverage::default();
    coverage.read.items = 78_612;
    coverage.read.bytes = 1_312_000_000;
    for _ in 0..1204 {
        coverage.exclude(Excluded::Ignored, 1_000_000);
    }
    coverage.exclude(Excluded::SymbolicLink, 0);
    coverage.absent.insert("blobs of a partial clone", 3);
    coverage.accepted.push(Failure {
        what: make.path(b"vendor/broken.zip").shown().clone(),
        why: "the directory is damaged".to_owned(),
        reason: None,
    });
    coverage.members.items = 1204;
    coverage.members.bytes = 56_000_000;
    coverage.accepted.push(Failure {
        what: Masked::vouched("dist/a.zip → b.txt"),
        why: Unread::Encrypted.to_string(),
        reason: Some(Unread::Encrypted.as_str()),
    });
    let target = make.matcher.redact(format!("work/{old}").as_bytes());
    Fixture {
        keys: vec![admin, project, service, user, old],
        coverage,
        suppressions: Suppressions {
            unused: vec![Entry {
                what: Masked::vouched("0123456789abcdef0123456789abcdef"),
                reason: Masked::vouched("test data"),
                until: None,
            }],
            expired: vec![Entry {
                what: Masked::vouched("fedcba9876543210fedcba9876543210"),
                reason: Masked::vouched("rotation under way"),
                until: Some("2026-01-31".to_owned()),
            }],
        },
        target,
        checks: None,
        findings: make.findings,
    }
}

/// The same run, but some things could not be read, and then it was stopped.
pub(crate) fn partial() -> Fixture {
    let mut fixture = complete();
    let matcher = Matcher::new(&Rules::built_in(), None);
    for n in 0..30 {
        let what = format!("locked/{n}\u{1b}[m/{}.bin", fixture.keys[0]);
        let what = matcher.redact(what.as_bytes());
        fixture
            .coverage
            .fail(what, "permission denied\n(os error 13)");
    }
    let what = Masked::vouched("dist/bomb.zip → b.txt");
    let why = Unread::Over(Limit::Ratio);
    fixture.coverage.fail_member(what, &why);
    // As if there had been more than are kept.
    fixture.coverage.failed = 1007;
    fixture.coverage.interrupted = true;
    fixture
}

/// The same run, with something known of each key, in names that try to break out.
pub(crate) fn verified() -> Fixture {
    let mut fixture = complete();
    let text = |text: &str| Masked::vouched(text);
    let record = |id: &str| Record {
        profile: "acme".to_owned(),
        organisation: Some(text("acme-ltd")),
        kind: RecordKind::Project,
        project: Some(text("proj_1")),
        project_name: Some(text("chat \u{1b}[31m")),
        archived: false,
        id: text(id),
        name: Some(text("=1+1,\"x\"\n::error::[a](b) {0}")),
        masked: text("sk-proj-****abcA"),
        owner: Some(Owner {
            kind: text("service_account"),
            id: Some(text("user-1")),
            name: Some(text("worker")),
            email: None,
            role: Some(text("member")),
        }),
        created_at: Some(1_780_000_000),
        last_used_at: None,
        expires_at: Some(1_800_000_000),
        scopes: Some(vec![text("api.model.read")]),
    };
    let seen = |rows: Vec<Record>| {
        decide(Seen {
            rows,
            listing: Listing::Complete,
        })
    };
    let typed = Evidence::Typed("key_1".to_owned());
    let spent = Spent {
        requests: 1200,
        input_tokens: 3_400_000,
        output_tokens: 560,
        cost: Money([("usd".to_owned(), 12.345)].into()),
    };
    let day = [(text("gpt-4o"), spent.clone()), (text("o9"), spent)];
    let exposure = Exposure {
        from: 1_789_000_000,
        to: 1_790_000_000,
        spent: [("2026-09-10".to_owned(), day.into())].into(),
        foreign_models: Some(vec![text("o9")]),
        deeds: Some(vec![Deed {
            at: 1_780_000_000,
            kind: text("api_key.created"),
            by_the_key: false,
            actor: Some(text("ada@acme.example")),
            address: Some(text("192.0.2.7")),
        }]),
        gaps: vec![text("usage lags")],
    };
    let dead = Verdict::Dead {
        answers: 3,
        over: Duration::from_secs(20),
        control: true,
    };
    let unknown = Verdict::Unknown(Why::new("timed_out", "no answer"));
    let listing = Listing::Incomplete(Why::new("key_refused", "the admin key was revoked"));
    let blind = decide(Seen {
        rows: Vec::new(),
        listing,
    });
    let known = [
        (
            Verdict::Live(Life::NoMoney),
            seen(vec![record("key_1")]).hear(&typed),
            Some(exposure),
        ),
        (dead, seen(Vec::new()), None),
        (Verdict::not_probed(), seen(vec![record("key_2")]), None),
        (
            Verdict::Unusable(Unusable::Account),
            seen(vec![record("key_3"), record("key_4")]),
            None,
        ),
        (unknown, blind, None),
    ];
    let mut keys = Vec::new();
    for finding in &fixture.findings {
        if !keys.contains(&finding.fingerprint) {
            keys.push(finding.fingerprint);
        }
    }
    let checks = keys
        .into_iter()
        .zip(known)
        .map(|(key, (verdict, identity, exposure))| {
            let since = exposure.as_ref().map(|e| Since {
                at: e.from,
                by: "first commit",
            });
            let check = Check {
                verdict,
                identity,
                since,
                exposure,
            };
            (key, check)
        });
    fixture.checks = Some(Checks {
        keys: checks.collect(),
        probed: true,
        listings: vec![ListingInfo {
            profile: "acme".to_owned(),
            organisation: Some(text("acme-ltd")),
            projects: 12,
            keys: 3456,
            age: 300,
            incomplete: Some(text("the admin key was revoked")),
        }],
        notes: vec![text("the admin key of acme lacks something")],
    });
    fixture
}

/// Nothing found, all read.
pub(crate) fn clean() -> Fixture {
    let mut fixture = complete();
    fixture.findings.clear();
    fixture.suppressions = Suppressions::default();
    fixture
}

impl Fixture {
    pub(crate) fn run(&self) -> Run<'_> {
        let found = self.findings.iter().any(Finding::counts);
        Run {
            findings: &self.findings,
            coverage: &self.coverage,
            suppressions: &self.suppressions,
            checks: self.checks.as_ref(),
            target: &self.target,
            commit: None,
            version: "0.1.0",
            started: Timestamp::from_second(1_790_000_000).unwrap(),
            elapsed: Duration::from_millis(1020),
            exit_code: match (found, self.coverage.is_complete()) {
                (true, _) => 1,
                (false, true) => 0,
                (false, false) => 3,
            },
        }
    }

    /// The whole report, as a caller makes it.
    pub(crate) fn render(&self, name: &str, options: &Options) -> String {
        let mut report = (format(name).unwrap().make)(options);
        let mut out = Vec::new();
        for finding in &self.findings {
            report.finding(finding, &mut out).unwrap();
        }
        let run = match report.streams() {
            true => Run {
                findings: &[],
                ..self.run()
            },
            false => self.run(),
        };
        report.finish(&run, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
