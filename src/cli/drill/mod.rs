//! `skewer drill`: the whole incident, played on the sandbox: a repository with a leak, a small
//! service that uses the key, the find, the verdict, the rotation under load, the deletion, the
//! trail.

mod openbao;
mod service;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::openbao::OpenBao;
use self::service::Service as Load;
use super::asking::System;
use super::rotate::entry;
use super::{Context, Exit};
use crate::audit::{self, Trail, Who};
use crate::config::{File, Section, Surroundings};
use crate::finding::Finding;
use crate::http::{self, Address, Client};
use crate::matcher::Matcher;
use crate::openai::{self, Admin, Service};
use crate::rollout::{Simulated, Stage};
use crate::rotate::{
    self, Api, Consumer, Entry, Journal, Plan, Run, Stopped, Strategy, Waits, Wish, World, prepare,
};
use crate::rules::Rules;
use crate::sandbox::{self, Options, Running, Sandbox};
use crate::scan::{Outcome, Scan, Settings};
use crate::secret::Secret;
use crate::store::{self, Outside, Slot, Store};
use crate::verdict::Match;
use crate::verify::{self, Organisation, Proof, Subject};

/// Play a whole incident on this machine: find a leaked key, verify it, rotate it under load.
///
/// Nothing leaves the machine: the organisation is a server on loopback, its keys work nowhere else,
/// and all files are in a temporary directory.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer drill
  skewer drill --rate 500 --immediate    what the consumers feel if the key goes at once
  skewer drill --store vault             with a real OpenBao, on loopback and in memory

Exit status: 0 no request failed, 1 some did")]
pub(super) struct Drill {
    /// Requests a second that the service sends.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rate: u32,
    /// How long the leaked key has to stand still, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    quiet_time: u64,
    /// Delete the leaked key as soon as there is another.
    #[arg(long)]
    immediate: bool,
    /// Where the service's key is kept.
    #[arg(long, value_name = "KIND", default_value = "file")]
    store: Keeps,
    /// The program of OpenBao, for `--store vault`.
    #[arg(long, value_name = "PROGRAM", default_value = "bao")]
    bao: PathBuf,
    /// The same seed plays the same organisation.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Keeps {
    /// A file of variables
    File,
    /// An OpenBao that is started for the drill
    Vault,
}

/// What the service's configuration says before the key.
const VARIABLE: &str = "OPENAI_API_KEY";

struct Stageset {
    sandbox: Running,
    admin: Admin,
    service: Arc<Service>,
    matcher: Matcher,
    clock: System,
}

impl Drill {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let begun = Instant::now();
        let stop = context.interruptible();
        let mut out = context.stdout();
        let directory = tempfile::tempdir().context("can't make a temporary directory")?;
        let set = Stageset::found(self.seed, &stop)?;
        writeln!(
            out,
            "1. An organisation on {}, for this drill alone",
            set.sandbox.url()
        )?;

        let (project, key) = set.victim()?;
        plant(directory.path(), &key)?;
        let bao = match self.store {
            Keeps::File => None,
            Keeps::Vault => {
                // The directory's name is random; OpenBao takes no dot.
                let name = directory.path().file_name().unwrap_or_default();
                let name = name.to_string_lossy().replace('.', "-");
                let token = format!("drill{name}");
                Some(OpenBao::start(&self.bao, directory.path(), token)?)
            }
        };
        let store = match &bao {
            Some(bao) => bao.store(&key)?,
            None => set.store(directory.path())?,
        };
        let load = Load::start(&Address::parse(&set.sandbox.url())?, key.clone(), self.rate)?;
        writeln!(
            out,
            "2. A service sends {} requests a second with a key from {}, which somebody copied into the repository",
            self.rate,
            set.matcher.redact(store.place().as_bytes())
        )?;

        let found = set.scan(directory.path(), &stop)?;
        let Some(finding) = found.iter().find(|one| one.secret == key) else {
            bail!("the scan did not find the key that was planted");
        };
        writeln!(
            out,
            "3. Found: {} in {}",
            finding.secret.mask(),
            finding.location.place.masked()
        )?;

        let id = set.verify(finding, &mut out)?;
        let failed = self.rotate(
            &set,
            &load,
            &project,
            &id,
            key,
            &store,
            directory.path(),
            &mut out,
        )?;

        let tally = load.tally();
        writeln!(
            out,
            "7. {} requests served, {} failed{}; {:.1} s from the leak to the proof",
            tally.served,
            tally.failed,
            load.first_failure()
                .map_or_else(String::new, |why| format!(" (first: {why})")),
            begun.elapsed().as_secs_f64()
        )?;
        if let Some(halt) = failed {
            bail!("the rotation stood still: {halt}");
        }
        Ok(match tally.failed {
            0 => Exit::Nothing,
            _ => Exit::Found,
        })
    }

    #[allow(clippy::too_many_arguments)] // the parts of one scene
    fn rotate(
        &self,
        set: &Stageset,
        load: &Load,
        project: &str,
        id: &str,
        key_a: Secret,
        store: &Arc<dyn Store>,
        directory: &Path,
        out: &mut dyn Write,
    ) -> anyhow::Result<Option<String>> {
        let stores = BTreeMap::from([("store".to_owned(), store.clone())]);
        let restart = {
            let (store, restart) = (store.clone(), load.restarter());
            move |_| {
                if let Ok(Some(held)) = store.read(Slot::Current)
                    && let Some(value) = held.value
                {
                    restart(value);
                }
            }
        };
        let stage = Stage {
            name: "service".to_owned(),
            rollout: Box::new(Simulated::done_after(0).calling(restart)),
            health: Vec::new(),
            limit: Duration::from_secs(30),
            pause: Duration::from_millis(50),
            healthy_after: 1,
        };
        let rollouts = BTreeMap::from([("service".to_owned(), stage)]);
        let wish = Wish {
            id: "d0d0d0d0".to_owned(),
            project: project.to_owned(),
            key: id.to_owned(),
            value: Some(key_a.clone()),
            strategy: match self.immediate {
                true => Strategy::Immediate,
                false => Strategy::Graceful,
            },
            scopes: Some(rotate::Scopes::All),
            handed: false,
            new_account: false,
            name: "drill-d0d0d0d0".to_owned(),
            consumers: vec![Consumer {
                name: "service".to_owned(),
                place: "store".to_owned(),
                canary: false,
            }],
            expire_a: None,
            expire_b: None,
            waits: Waits {
                answers: 3,
                between: 0,
                settling: 1,
                quiet: self.quiet_time,
                proof: 0,
                tries: 5,
                lease: 900,
            },
            who: "a drill".to_owned(),
        };
        let api = Api::new(&set.admin);
        let prepared = prepare(&wish, &api, &stores, &rollouts)
            .map_err(|wrong| anyhow::anyhow!("the plan can't be made: {}", wrong.join("; ")))?;
        writeln!(
            out,
            "5. The plan has {} steps; it is carried out under load:",
            prepared.steps.len()
        )?;
        let trail = Trail::new(directory.join("trail.jsonl"), Who::default());
        let redact = |text: &[u8]| set.matcher.redact(text);
        let show = |text: &str| set.matcher.redact(text.as_bytes());
        let lines = std::cell::RefCell::new(Vec::new());
        let watch = |plan: &Plan, one: &Entry| {
            // A trail that can't be written is found when it is checked.
            let _ = trail.append(jiff::Timestamp::now(), &rotate::event(plan, one, &redact));
            let mut line = Vec::new();
            let _ = entry(&mut line, one, show);
            lines.borrow_mut().push(line);
        };
        let world = World {
            organisation: &api,
            stores: &stores,
            rollouts: &rollouts,
            clock: &set.clock,
            key_a: Some(&key_a),
            handed: None,
            watch: &watch,
        };
        let mut journal = Journal::open(&directory.join("state/journal.sqlite"))?;
        let begun = Instant::now();
        let run = Run::begin(prepared.plan, &mut journal, world)?;
        let outcome = Box::new(run).drive();
        let took = begun.elapsed();
        for line in lines.borrow().iter() {
            out.write_all(line)?;
        }
        let halt = outcome.err().map(|Stopped { halt, .. }| halt.to_string());
        let lines = fs::read(trail.path()).context("there is no trail")?;
        let checked = audit::check(&lines[..], None).context("the trail's chain is broken")?;
        writeln!(
            out,
            "6. It took {:.1} s; the trail has {} lines, and its chain holds",
            took.as_secs_f64(),
            checked.head.lines
        )?;
        Ok(halt)
    }
}

/// A repository whose service reads its key from a file of its own, and in which somebody has
/// copied the key.
fn plant(directory: &Path, key: &Secret) -> anyhow::Result<()> {
    let text = std::str::from_utf8(key.expose()).context("a key is text")?;
    let env = directory.join("service.env");
    fs::write(&env, format!("PORT=8080\n{VARIABLE}={text}\n"))?;
    let repository = directory.join("repository");
    fs::create_dir(&repository)?;
    let code = format!("# just for now\nclient = OpenAI(api_key=\"{text}\")\n");
    fs::write(repository.join("settings.py"), code)?;
    Ok(())
}

impl Stageset {
    fn found(seed: u64, stop: &Arc<std::sync::atomic::AtomicBool>) -> anyhow::Result<Self> {
        let clock = System::new(stop);
        let now = || jiff::Timestamp::now().as_millisecond();
        let sandbox = Sandbox::start(Options {
            seed,
            clock: sandbox::Clock::running(now),
            ..Options::default()
        })
        .context("can't start the organisation")?;
        let matcher = Matcher::new(&Rules::built_in(), None);
        let redact = {
            let matcher = Matcher::new(&Rules::built_in(), None);
            Arc::new(move |text: &[u8]| matcher.redact(text))
        };
        let mut settings = openai::Settings::new(Address::parse(&sandbox.url())?);
        // Nobody else asks this organisation.
        (settings.per_minute, settings.probes_per_minute) = (0, 0);
        let service = Arc::new(Service::new(
            Client::new(http::Settings::default())?,
            settings,
            Arc::new(System::new(stop)),
            redact,
            Arc::new(()),
        ));
        Ok(Self {
            admin: Admin::new(service.clone(), sandbox.admin_key()),
            sandbox,
            service,
            matcher,
            clock,
        })
    }

    /// A service account's key, and its project.
    fn victim(&self) -> anyhow::Result<(String, Secret)> {
        let found = self.sandbox.with(|world| {
            world.live_keys().iter().find_map(|id| {
                let key = world.key(id)?;
                let of_account = matches!(key.owner, sandbox::Owner::ServiceAccount(_));
                let project = world.project(key.project.as_deref()?)?;
                (of_account && project.archived.is_none())
                    .then(|| (project.id.clone(), key.value.clone()))
            })
        });
        found.context("this organisation has no service account with a key: take another seed")
    }

    fn scan(
        &self,
        directory: &Path,
        stop: &std::sync::atomic::AtomicBool,
    ) -> anyhow::Result<Vec<Finding>> {
        let settings = Settings::default();
        let scan = Scan::new(&self.matcher, &settings, &Silent, stop);
        scan.paths([directory.join("repository")].iter());
        let Outcome { findings, .. } = scan.into_outcome();
        Ok(findings)
    }

    fn verify(&self, finding: &Finding, out: &mut dyn Write) -> anyhow::Result<String> {
        let organisation = Organisation {
            profile: "drill".to_owned(),
            admin: Admin::new(self.service.clone(), self.sandbox.admin_key()),
            cache: None,
        };
        let subject = Subject {
            fingerprint: finding.fingerprint,
            key: &finding.secret,
            kind: &finding.rule.kind,
            since: None,
        };
        let settings = verify::Settings {
            probe: Some(&self.service),
            control: None,
            proof: Proof {
                answers: 2,
                pause: Duration::from_secs(1),
            },
            cache_age: Duration::ZERO,
            last_used_lag: Duration::ZERO,
            longest_window: Duration::from_secs(86_400),
            usage_lag: Duration::ZERO,
            typed: None,
        };
        let checks = verify::check(&[organisation], &[subject], &settings);
        let check = checks
            .keys
            .get(&finding.fingerprint)
            .context("nothing was checked")?;
        writeln!(
            out,
            "4. {}; whose it is: {}",
            check.verdict.explain(),
            check.identity.as_str()
        )?;
        match &check.identity {
            Match::Confirmed(confirmed) => Ok(confirmed.record().id.to_string()),
            other => bail!("the key's record is not confirmed, but {}", other.as_str()),
        }
    }

    fn store(&self, directory: &Path) -> anyhow::Result<Arc<dyn Store>> {
        let section = Section::whole(File {
            name: "drill".to_owned(),
            base: directory.to_owned(),
            text: format!("kind = 'file'\npath = 'service.env'\nkey = '{VARIABLE}'"),
            trusted: true,
        });
        let outside = Outside {
            surroundings: Surroundings {
                variable: &|_| None,
            },
            http: &http::Settings::default(),
            now: jiff::Timestamp::now,
        };
        Ok(Arc::from(store::open(&section, &outside)?))
    }
}

/// Hears nothing.
struct Silent;

impl crate::scan::Observer for Silent {
    fn finding(&self, _: &Finding) {}
}
