//! What rotations need of the user's own `config.toml`: stores, consumers with their stages, the
//! audit trail and the policy. Like [`Private`](super::Private), none of
//! it may stand in a repository's `skewer.toml`.
//!
//! ```toml
//! [stores.prod]
//! kind = "vault"                    # and what this kind takes
//!
//! [consumers.api]
//! store = "prod"
//! [[consumers.api.stages]]          # in this order: the canary, then the rest
//! name = "canary"
//! kind = "kubernetes"
//! [[consumers.api.stages.health]]
//! kind = "http"
//!
//! [audit]
//! file = "/var/lib/skewer/trail.jsonl"
//!
//! [policy]
//! quiet = "24h"
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::section::{maybe_time_span, time_span};
use super::{ConfigError, File, Section};

/// All of it, read as far as it is the same for all kinds.
#[derive(Debug)]
pub struct Outer {
    /// By name; each is opened by [`crate::store::open`].
    pub stores: BTreeMap<String, Section>,
    /// By name.
    pub consumers: BTreeMap<String, Consumer>,
    /// The trail, if there is to be one.
    pub audit: Option<Audit>,
    /// What may be done without asking, and how long is waited.
    pub policy: Policy,
}

/// Something that uses a key.
#[derive(Debug)]
pub struct Consumer {
    /// The store that it reads its key from, one of [`Outer::stores`].
    pub store: String,
    /// Its stages, in order; each is opened by [`crate::rollout::open_stage`]. None, if it fetches
    /// its key each time anew.
    pub stages: Vec<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumerSettings {
    store: String,
}

/// Where the audit trail is.
#[derive(Debug)]
pub struct Audit {
    /// The trail.
    pub file: PathBuf,
    /// The log server that it is sent to as it goes, as `tls://HOST`, if it is.
    pub to: Option<String>,
    /// Certificates that the log server's may lead to, as PEM.
    pub ca: Option<PathBuf>,
    /// The form in which records are sent.
    pub profile: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditSettings {
    file: String,
    to: Option<String>,
    ca: Option<String>,
    profile: Option<String>,
}

/// What may be done without asking, and how long is waited.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Policy {
    /// How long key A must not have been used before it is revoked.
    #[serde(deserialize_with = "time_span")]
    pub quiet: Duration,
    /// Whether A may be revoked while somebody who is no consumer of ours still uses it.
    pub revoke_if_others_use: bool,
    /// How old a key may become.
    #[serde(deserialize_with = "time_span")]
    pub cadence: Duration,
    /// How key B is named; the rotation's id is added.
    pub name: String,
    /// What the words of `name` stand for, besides the date and the project.
    pub words: BTreeMap<String, String>,
    /// How long a lock of ours counts without being extended.
    #[serde(deserialize_with = "time_span")]
    pub lease: Duration,
    /// How long key A's death is watched.
    #[serde(deserialize_with = "time_span")]
    pub proof: Duration,
    /// How long a new key may take to work, and to show.
    #[serde(deserialize_with = "time_span")]
    pub settling: Duration,
    /// The time between two answers that count.
    #[serde(deserialize_with = "time_span")]
    pub between: Duration,
    /// So many answers in a row prove something.
    pub answers: u32,
    /// So often one step is tried before the rotation pauses.
    pub tries: u32,
    /// The journal's file; in the state directory, if nothing is said.
    pub journal: Option<PathBuf>,
    /// So long after key B was proved key A ends by itself, whatever becomes of the rotation.
    #[serde(deserialize_with = "maybe_time_span")]
    pub expire_a: Option<Duration>,
    /// Key B ends so long after it was made.
    #[serde(deserialize_with = "maybe_time_span")]
    pub expire_b: Option<Duration>,
    /// What may be started without asking; nothing, if it is missing.
    pub automatic: Option<Automatic>,
}

/// Which keys may be rotated without asking anybody, once they are known to live and their records
/// are confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Automatic {
    /// The projects whose keys they are, by id or name; `*` is every project.
    pub projects: Vec<String>,
    /// Whose keys. A person's key becomes a service account's, since no call makes another.
    #[serde(default = "service_accounts")]
    pub kinds: Vec<OwnerKind>,
    /// So many starts within 24 hours, as the journal tells; each is over before the next.
    #[serde(default = "one")]
    pub a_day: u32,
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerKind {
    /// A service account's.
    ServiceAccount,
    /// A person's.
    User,
}

fn service_accounts() -> Vec<OwnerKind> {
    vec![OwnerKind::ServiceAccount]
}

fn one() -> u32 {
    1
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(60 * 60),
            revoke_if_others_use: false,
            cadence: Duration::from_secs(90 * 24 * 60 * 60),
            name: "{yy}-{mm}-{customer}-{project}-{env}".to_owned(),
            words: BTreeMap::new(),
            lease: Duration::from_secs(15 * 60),
            proof: Duration::from_secs(5 * 60),
            settling: Duration::from_secs(60),
            between: Duration::from_secs(2),
            answers: 3,
            tries: 5,
            journal: None,
            expire_a: None,
            expire_b: None,
            automatic: None,
        }
    }
}

/// How long the API lets a key live that is to end, in seconds.
const LONGEST_EXPIRY: u64 = 31_536_000;

impl Policy {
    /// What is wrong with it, if something is.
    fn wrong(&self) -> Option<&'static str> {
        let expiries = [self.expire_a, self.expire_b];
        let expires = |time: &Duration| (1..=LONGEST_EXPIRY).contains(&time.as_secs());
        let automatic = self.automatic.as_ref();
        match () {
            () if self.lease < Duration::from_secs(60) => Some("`lease` is at least `60s`"),
            () if self.answers == 0 || self.tries == 0 => {
                Some("`answers` and `tries` are at least 1")
            }
            () if !expiries.iter().flatten().all(expires) => {
                Some("`expire-a` and `expire-b` are from `1s` to `365d`")
            }
            () if self.expire_a.is_some_and(|end| end <= self.quiet) => Some(
                "`expire-a` is longer than `quiet`: else key A ends before anybody knows that it stands still",
            ),
            () if automatic.is_some_and(|one| one.projects.is_empty() || one.a_day == 0) => Some(
                "[policy.automatic] names at least one of `projects`, and `a-day` is at least 1: leave the table out if nothing is to start by itself",
            ),
            () => None,
        }
    }
}

impl Outer {
    /// Reads these tables of the user's configuration; other names in it are not looked at.
    ///
    /// # Errors
    /// A name or a value is wrong; the kinds' own settings are read when they are opened.
    pub fn read(file: File) -> Result<Self, ConfigError> {
        let whole = Section::whole(file);
        let stores: BTreeMap<String, Section> = whole.tables("stores")?.into_iter().collect();
        for store in stores.values() {
            store.kind()?;
        }
        let mut consumers = BTreeMap::new();
        for (name, section) in whole.tables("consumers")? {
            let settings: ConsumerSettings = section.clone().without(&["stages"]).read()?;
            if !stores.contains_key(&settings.store) {
                let known: Vec<&str> = stores.keys().map(String::as_str).collect();
                let problem = super::section::unknown("store", &settings.store, &known);
                return Err(section.invalid(problem));
            }
            let stages = section.list("stages")?;
            let consumer = Consumer {
                store: settings.store,
                stages,
            };
            consumers.insert(name, consumer);
        }
        let audit = whole.table("audit")?.map(|section| {
            let settings: AuditSettings = section.read()?;
            Ok::<_, ConfigError>(Audit {
                file: section.resolve(&settings.file),
                to: settings.to,
                ca: settings.ca.map(|path| section.resolve(&path)),
                profile: settings.profile,
            })
        });
        let policy = whole.table("policy")?.map(|section| {
            let mut policy: Policy = section.read()?;
            let journal = policy.journal.as_ref();
            policy.journal = journal.map(|path| section.resolve(&path.to_string_lossy()));
            match policy.wrong() {
                Some(wrong) => Err(section.invalid(wrong)),
                None => Ok(policy),
            }
        });
        Ok(Self {
            stores,
            consumers,
            audit: audit.transpose()?,
            policy: policy.transpose()?.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Outer, ConfigError> {
        Outer::read(File {
            name: "config.toml".to_owned(),
            base: "/home/ann/.config/skewer".into(),
            text: text.to_owned(),
            trusted: true,
        })
    }

    #[test]
    fn everything_has_its_place() {
        let outer = read(
            "threads = 2\n[stores.prod]\nkind = 'vault'\nwhatever = 1\n[consumers.api]\nstore = 'prod'\n[[consumers.api.stages]]\nname = 'canary'\nkind = 'systemd'\n[[consumers.api.stages]]\nname = 'rest'\nkind = 'systemd'\n[audit]\nfile = 'trail.jsonl'\n[policy]\nquiet = '2h'\n",
        )
        .unwrap();
        assert_eq!(outer.stores["prod"].kind().unwrap(), "vault");
        assert_eq!(outer.consumers["api"].stages.len(), 2);
        assert_eq!(
            outer.consumers["api"].stages[1].name(),
            "consumers.api.stages.2"
        );
        let audit = outer.audit.unwrap();
        assert_eq!(
            audit.file,
            PathBuf::from("/home/ann/.config/skewer/trail.jsonl")
        );
        assert_eq!(outer.policy.quiet, Duration::from_secs(7200));
        assert_eq!(read("").unwrap().policy, Policy::default());
        assert_eq!(
            Policy::default().automatic,
            None,
            "nothing starts by itself"
        );
        let policy = read("[policy]\nexpire-a = '24h'\n[policy.automatic]\nprojects = ['chat']")
            .unwrap()
            .policy;
        assert_eq!(policy.expire_a, Some(Duration::from_secs(86_400)));
        let automatic = policy.automatic.unwrap();
        assert_eq!(automatic.a_day, 1);
        assert_eq!(automatic.kinds, [OwnerKind::ServiceAccount]);
    }

    #[test]
    fn typos_name_the_nearest() {
        for (text, why) in [
            ("[policy]\nqiet = '2h'", "did you mean `quiet`?"),
            ("[policy]\nquiet = 2", "string"),
            ("[policy]\nlease = '5s'", "at least `60s`"),
            ("[policy]\nanswers = 0", "at least 1"),
            ("[policy]\nexpire-a = '1h'", "longer than `quiet`"),
            ("[policy]\nexpire-a = '400d'", "from `1s` to `365d`"),
            (
                "[policy.automatic]\nprojets = ['x']",
                "did you mean `projects`?",
            ),
            ("[policy.automatic]\nprojects = []", "at least one"),
            (
                "[policy.automatic]\nprojects = ['*']\nkinds = ['users']",
                "did you mean `user`?",
            ),
            ("[audit]\nflie = 'x'", "did you mean `file`?"),
            (
                "[stores.a]\nkind = 'file'\n[consumers.b]\nstore = 'c'",
                "did you mean `a`?",
            ),
            (
                "[stores.a]\nkind = 'file'\n[consumers.b]\nstore = 'a'\nstage = []",
                "did you mean `stages`?",
            ),
            ("[stores.a]\npath = 'x'", "kind"),
            ("[stores]\na = 1", "a table is expected"),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text:?}: {said}");
            assert!(said.starts_with("config.toml:"), "{said}");
        }
    }
}
