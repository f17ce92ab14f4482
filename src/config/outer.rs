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

use super::section::time_span;
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditSettings {
    file: String,
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
            })
        });
        let policy = whole.table("policy")?.map(|section| {
            let mut policy: Policy = section.read()?;
            let journal = policy.journal.as_ref();
            policy.journal = journal.map(|path| section.resolve(&path.to_string_lossy()));
            if policy.lease < Duration::from_secs(60) {
                return Err(section.invalid("`lease` is at least `60s`"));
            }
            match policy.answers == 0 || policy.tries == 0 {
                true => Err(section.invalid("`answers` and `tries` are at least 1")),
                false => Ok(policy),
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
    }

    #[test]
    fn typos_name_the_nearest() {
        for (text, why) in [
            ("[policy]\nqiet = '2h'", "did you mean `quiet`?"),
            ("[policy]\nquiet = 2", "string"),
            ("[policy]\nlease = '5s'", "at least `60s`"),
            ("[policy]\nanswers = 0", "at least 1"),
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
