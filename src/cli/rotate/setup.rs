//! What a rotation works with, as the user's own configuration has it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::audit::{self, Event, Profile, Relay, Trail, Who};
use crate::cli::Context;
use crate::cli::asking::{self, System};
use crate::cli::error::Hint;
use crate::cli::settings::Loaded;
use crate::cli::verifying::{AskFlags, asked};
use crate::config::{Audit, OpenAi, Outer, Policy, Surroundings};
use crate::http::{Root, roots_from_pem};
use crate::matcher::Matcher;
use crate::rollout::{self, Stage};
use crate::rotate::{self, Consumer, Entry, Journal, Plan, Waits};
use crate::rules::Rules;
use crate::secret::{Fingerprint, Masked, Secret};
use crate::store::{self, Outside, Slot, Store};
use crate::verdict::Check;
use crate::verify::{self, Inventory, Organisation, Subject};

/// Flags that every command about rotations has.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct SetupFlags {
    /// Ask this organisation (a name from [profiles]).
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The journal's file; in CI it has to outlive the job.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The ticket that asks for this, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    ticket: Option<String>,
    /// Who approved of this, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    approver: Option<String>,
}

/// Everything, opened but not asked yet.
pub(in crate::cli) struct Setup {
    pub(super) organisation: Organisation,
    pub(super) stores: BTreeMap<String, Arc<dyn Store>>,
    pub(super) rollouts: BTreeMap<String, Stage>,
    pub(super) consumers: Vec<Consumer>,
    pub(super) policy: Policy,
    pub(super) clock: System,
    pub(super) who: Who,
    trail: Trail,
    relay: Option<(Relay, &'static Profile)>,
    matcher: Matcher,
    openai: OpenAi,
    control: Option<Secret>,
}

/// Where key A is.
pub(super) struct Holders {
    /// The keys that may be it, each once.
    pub(super) values: Vec<Secret>,
    /// The stores that hand one of them out.
    pub(super) places: Vec<String>,
    /// The stores that don't tell.
    pub(super) silent: Vec<String>,
}

/// What is left to do without an admin key.
const BY_HAND: &str = "set OPENAI_ADMIN_KEY or name a profile in your config.toml; without an admin key, do it by hand: have the key's owner (or an owner of its project) make another under Project settings → API keys, put it where the old one is used, see that the old one's \"last used\" stands still, and delete it there";

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `$XDG_STATE_HOME/skewer`, or what stands for it.
fn state_directory() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    let base = absolute("XDG_STATE_HOME").or_else(home);
    base.or_else(|| absolute("LOCALAPPDATA"))
        .map(|base| base.join("skewer"))
        .context("there is no directory for the journal: neither XDG_STATE_HOME nor HOME is set")
}

impl SetupFlags {
    /// What others than the command line say.
    pub(super) fn of(profile: Option<String>, journal: Option<PathBuf>) -> Self {
        Self {
            profile,
            journal,
            ticket: None,
            approver: None,
        }
    }

    /// The same, for an organisation that was found out, unless one is named.
    pub(super) fn or_profile(&self, profile: Option<&str>) -> Self {
        Self {
            profile: self.profile.clone().or(profile.map(str::to_owned)),
            ..self.clone()
        }
    }

    /// Opens the journal alone: nothing else is needed to look at rotations.
    pub(super) fn journal(&self, policy: &Policy) -> anyhow::Result<Journal> {
        Ok(Journal::open(&self.journal_path(policy)?)?)
    }

    /// The journal, if there is one: to look at it does not make it.
    pub(super) fn journal_that_is(&self, policy: &Policy) -> anyhow::Result<Option<Journal>> {
        let path = self.journal_path(policy)?;
        Ok(match path.exists() {
            true => Some(Journal::open(&path)?),
            false => None,
        })
    }

    fn journal_path(&self, policy: &Policy) -> anyhow::Result<PathBuf> {
        match self.journal.clone().or_else(|| policy.journal.clone()) {
            Some(path) => Ok(path),
            None => Ok(state_directory()?.join("journal.sqlite")),
        }
    }

    /// A CI job's own disk goes with the job, and a rotation that was cut off with it.
    pub(super) fn is_durable(&self, policy: &Policy) -> anyhow::Result<()> {
        let named = self.journal.is_some() || policy.journal.is_some();
        match variable("CI").is_some() && !named {
            true => Err(anyhow::anyhow!(
                "in CI, --apply needs a journal that outlives the job"
            ))
            .hint("name one with --journal FILE, on a volume or in a cache that the next job gets"),
            false => Ok(()),
        }
    }

    pub(in crate::cli) fn open(
        &self,
        loaded: &Loaded,
        context: &Context,
        stop: &Arc<AtomicBool>,
        apply: bool,
    ) -> anyhow::Result<Setup> {
        let outer = loaded.outer()?;
        if apply {
            self.is_durable(&outer.policy)?;
        }
        let profiles: Vec<String> = self.profile.iter().cloned().collect();
        let verifying = AskFlags::listing(&profiles, false).prepare(loaded);
        let verifying = match self.profile {
            None => verifying.hint(BY_HAND)?,
            Some(_) => verifying?,
        };
        let mut organisations = verifying.reachable(context, stop)?;
        let organisation = match (organisations.pop(), organisations.len()) {
            (Some(one), 0) => one,
            _ => bail!("there are several organisations: name one with --profile"),
        };
        let private = loaded.private()?;
        let http = asking::reached(&private.network, false)?;
        let outside = Outside {
            surroundings: Surroundings {
                variable: &asking::secret_variable,
            },
            http: &http,
            now: jiff::Timestamp::now,
        };
        let mut stores: BTreeMap<String, Arc<dyn Store>> = BTreeMap::new();
        for (name, section) in &outer.stores {
            stores.insert(name.clone(), Arc::from(store::open(section, &outside)?));
        }
        let (consumers, rollouts) = consumers(&outer, &outside)?;
        let matcher = Matcher::new(&Rules::built_in(), None);
        let who = self.who(&matcher);
        let relay = outer.audit.as_ref().map(|audit| relay(audit, &http.roots));
        let trail = match &outer.audit {
            Some(audit) => audit.file.clone(),
            None => state_directory()?.join("trail.jsonl"),
        };
        Ok(Setup {
            organisation,
            stores,
            rollouts,
            consumers,
            policy: outer.policy,
            clock: System::new(stop),
            trail: Trail::new(trail, who.clone()),
            relay: relay.transpose()?.flatten(),
            who,
            matcher,
            control: private
                .openai
                .control_key
                .as_ref()
                .map(asking::key)
                .transpose()?,
            openai: private.openai,
        })
    }

    fn who(&self, matcher: &Matcher) -> Who {
        let masked = |text: &str| matcher.redact(text.as_bytes());
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name));
        let host = first(&["HOSTNAME", "COMPUTERNAME"]).or_else(|| {
            let name = std::fs::read_to_string("/etc/hostname").ok()?;
            Some(name.trim().to_owned())
        });
        Who {
            actor: masked(
                &first(&["GITLAB_USER_LOGIN", "GITHUB_ACTOR", "USER", "USERNAME"])
                    .unwrap_or_default(),
            ),
            host: masked(&host.unwrap_or_default()),
            job: first(&["CI_JOB_URL", "GITHUB_RUN_ID", "BUILD_URL"]).map(|text| masked(&text)),
            ticket: self.ticket.as_deref().map(masked),
            approver: self.approver.as_deref().map(masked),
        }
    }
}

/// How long the log server may take for each step, and for what is left at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The log server that the trail is sent to as it goes, if it is.
fn relay(audit: &Audit, roots: &[Root]) -> anyhow::Result<Option<(Relay, &'static Profile)>> {
    let Some(to) = &audit.to else {
        return Ok(None);
    };
    let receiver = to.parse().context("can't use `to` in [audit]")?;
    let name = audit.profile.as_deref().unwrap_or("ocsf");
    let profile = audit::profile(name)
        .with_context(|| format!("there is no profile {name:?}, which [audit] names"))?;
    let mut roots = roots.to_vec();
    if let Some(path) = &audit.ca {
        let pem = std::fs::read(path);
        let pem = pem.with_context(|| format!("can't read {}, `ca` in [audit]", path.display()))?;
        let more = roots_from_pem(&pem).map_err(anyhow::Error::msg);
        roots.extend(more.with_context(|| format!("can't use {}", path.display()))?);
    }
    Ok(Some((Relay::new(receiver, roots, PATIENCE), profile)))
}

/// The consumers, and how each is moved. Of several stages the first is the canary.
fn consumers(
    outer: &Outer,
    outside: &Outside<'_>,
) -> anyhow::Result<(Vec<Consumer>, BTreeMap<String, Stage>)> {
    let mut consumers = Vec::new();
    let mut rollouts = BTreeMap::new();
    for (of, consumer) in &outer.consumers {
        for (number, section) in consumer.stages.iter().enumerate() {
            let stage = rollout::open_stage(section, outside)?;
            let name = match consumer.stages.len() {
                1 => of.clone(),
                _ => format!("{of}/{}", stage.name),
            };
            if rollouts.insert(name.clone(), stage).is_some() {
                bail!(section.invalid("two stages have one name"));
            }
            consumers.push(Consumer {
                name,
                place: consumer.store.clone(),
                canary: number == 0 && consumer.stages.len() > 1,
            });
        }
    }
    Ok((consumers, rollouts))
}

impl Setup {
    /// Texts from outside, fit to be shown.
    pub(super) fn show(&self, text: &str) -> Masked {
        self.matcher.redact(text.as_bytes())
    }

    /// Writes an entry into the trail. A trail that can't be written stops nothing: the journal
    /// has it, and the next line tells of the gap.
    pub(super) fn record(&self, plan: &Plan, entry: &Entry) -> Result<(), String> {
        let redact = |text: &[u8]| self.matcher.redact(text);
        let time = jiff::Timestamp::from_second(entry.at).unwrap_or_default();
        self.write(time, &rotate::event(plan, entry, &redact))
    }

    /// Writes a line into the trail.
    pub(super) fn write(&self, time: jiff::Timestamp, event: &Event) -> Result<(), String> {
        let (_, record) = self
            .trail
            .add(time, event)
            .map_err(|error| error.to_string())?;
        if let Some((relay, profile)) = &self.relay {
            let line = (profile.render)(&record);
            relay.send(record.seq, audit::message(&record, &line));
        }
        Ok(())
    }

    /// Tells what of the trail did not get to the log server.
    pub(super) fn close(&self, context: &Context) -> io::Result<()> {
        let Some((relay, _)) = &self.relay else {
            return Ok(());
        };
        let Err(unsent) = relay.finish(PATIENCE) else {
            return Ok(());
        };
        writeln!(
            context.stderr(),
            "skewer: {}; they are in the trail: `skewer audit export {} --to {} --after {}` sends them",
            self.show(&unsent.to_string()),
            self.show(&self.trail.path().to_string_lossy()),
            self.show(&unsent.receiver),
            unsent.first - 1,
        )
    }

    pub(super) fn waits(&self) -> Waits {
        let of = &self.policy;
        Waits {
            answers: of.answers,
            between: of.between.as_secs(),
            settling: of.settling.as_secs(),
            quiet: of.quiet.as_secs(),
            proof: of.proof.as_secs(),
            tries: of.tries,
            lease: of.lease.as_secs(),
        }
    }

    /// Every key, from the cache if it is younger than `age`.
    pub(super) fn inventory(&self, age: Duration) -> Inventory {
        self.organisation.inventory(age)
    }

    /// Finds out anew whose a key is and whether it lives: it is used for that, once or a few times.
    pub(super) fn check(&self, value: &Secret) -> Check {
        let service = self.organisation.admin.service();
        let mut settings = asked(&self.openai, Some(service), Duration::ZERO);
        settings.control = self.control.as_ref();
        let subject = Subject {
            fingerprint: value.fingerprint(),
            key: value,
            kind: "project",
            since: None,
        };
        let organisations = std::slice::from_ref(&self.organisation);
        let mut checks = verify::check(organisations, &[subject], &settings);
        let (_, check) = checks.keys.pop_first().expect("each subject is told of");
        check
    }

    /// The stores that hand out a key of which `is_a` holds, or that may.
    pub(super) fn holders(&self, is_a: impl Fn(&Secret) -> bool) -> Holders {
        let mut holders = Holders {
            values: Vec::new(),
            places: Vec::new(),
            silent: Vec::new(),
        };
        for (name, store) in &self.stores {
            let held = store.read(Slot::Current).ok().flatten();
            match held.and_then(|held| held.value) {
                Some(there) if is_a(&there) => {
                    holders.places.push(name.clone());
                    if !holders.values.contains(&there) {
                        holders.values.push(there);
                    }
                }
                Some(_) => {}
                // The plan tells of what can't be read, if it needs it.
                None => holders.silent.push(name.clone()),
            }
        }
        holders
    }

    /// The key with this fingerprint, wherever a store still has it.
    pub(super) fn find(&self, print: Fingerprint) -> Option<Secret> {
        let slots = [Slot::Current, Slot::Previous];
        let read = |store: &Arc<dyn Store>| slots.map(|slot| store.read(slot).ok().flatten());
        let held = self.stores.values().flat_map(read).flatten();
        held.filter_map(|held| held.value)
            .find(|value| value.fingerprint() == print)
    }
}
