//! What is known of a key beyond its bytes: whether it lives, whose it is, what it did. Plain data,
//! and the rule by which a masked form becomes an identity; `verify` finds things out, reports show
//! them.

mod exposure;
mod identity;
mod mask;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub use self::exposure::{Deed, Exposure, Money, Since, Spent};
pub use self::identity::{
    Ambiguous, Candidate, Confirmed, Evidence, Listing, Match, Owner, Record, RecordKind, Seen,
    Unidentified, Witness, decide,
};
pub use self::mask::{Mask, in_short};
use crate::secret::{Fingerprint, Masked};

/// Whether a key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is let in, or would be from elsewhere.
    Live(Life),
    /// It is known, but good for nothing as things stand. That may change without notice.
    Unusable(Unusable),
    /// It was refused as unknown, again and again.
    Dead {
        /// How often.
        answers: u32,
        /// In which time.
        over: Duration,
        /// Whether another key was let in meanwhile, so that it was no outage.
        control: bool,
    },
    /// Nobody knows.
    Unknown(Why),
}

/// What a key that lives may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It works.
    Works,
    /// It works, but nothing is left to be spent.
    NoMoney,
    /// It works, but not for what was asked.
    OutOfScope,
    /// It works from the organisation's own addresses.
    OtherAddress,
    /// It works, but its project may not use the model.
    OtherModels,
}

/// Why a key that is known is good for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its account is deactivated.
    Account,
    /// It belongs to no organisation.
    Organisation,
    /// Its project was archived.
    Project,
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// A stable word, such as `timed_out`.
    pub word: &'static str,
    /// For people.
    pub detail: Masked,
}

impl Why {
    /// `detail` holds no foreign text, or was redacted.
    pub fn new(word: &'static str, detail: impl Into<Vec<u8>>) -> Self {
        Self {
            word,
            detail: Masked::vouched(detail),
        }
    }
}

/// Nobody asked.
pub const NOT_PROBED: &str = "not_probed";

impl Verdict {
    /// Nobody asked.
    pub fn not_probed() -> Self {
        Self::Unknown(Why::new(
            NOT_PROBED,
            "it was not used to find out; --probe would",
        ))
    }

    /// Whether it is let in somewhere.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// Whether it is proven dead.
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::Dead { .. })
    }

    /// Whether nobody knows.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    /// A stable word: `live`, `unusable`, `dead`, `unknown`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Live(_) => "live",
            Self::Unusable(_) => "unusable",
            Self::Dead { .. } => "dead",
            Self::Unknown(_) => "unknown",
        }
    }

    /// A stable word for the reason or the restriction; empty if there is none.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Live(Life::Works) | Self::Dead { .. } => "",
            Self::Live(Life::NoMoney) => "no_money",
            Self::Live(Life::OutOfScope) => "out_of_scope",
            Self::Live(Life::OtherAddress) => "other_address",
            Self::Live(Life::OtherModels) => "other_models",
            Self::Unusable(Unusable::Account) => "account_deactivated",
            Self::Unusable(Unusable::Organisation) => "no_organisation",
            Self::Unusable(Unusable::Project) => "project_archived",
            Self::Unknown(why) => why.word,
        }
    }

    /// In a sentence.
    pub fn explain(&self) -> Masked {
        Masked::vouched(match self {
            Self::Live(Life::Works) => "live: it works".to_owned(),
            Self::Live(Life::NoMoney) => {
                "live, without money: it works again once the account is paid".to_owned()
            }
            Self::Live(Life::OutOfScope) => {
                "live, out of scope: it works for other calls than the one that asked".to_owned()
            }
            Self::Live(Life::OtherAddress) => {
                "live: it works, but not from this address".to_owned()
            }
            Self::Live(Life::OtherModels) => "live: it works for other models".to_owned(),
            Self::Unusable(Unusable::Account) => {
                "unusable while its account is deactivated; that may change".to_owned()
            }
            Self::Unusable(Unusable::Organisation) => {
                "unusable: it is known, but belongs to no organisation".to_owned()
            }
            Self::Unusable(Unusable::Project) => "unusable: its project was archived".to_owned(),
            Self::Dead {
                answers,
                over,
                control,
            } => format!(
                "dead: refused {answers} times over {} s, {}",
                over.as_secs(),
                match control {
                    true => "while another key was let in",
                    false => "with no other key at hand to rule out an outage",
                }
            ),
            Self::Unknown(why) => {
                return Masked::vouched([b"unknown: ".as_slice(), why.detail.as_bytes()].concat());
            }
        })
    }
}

/// All that was found out about one key.
#[derive(Clone, Debug)]
pub struct Check {
    /// Whether it lives.
    pub verdict: Verdict,
    /// Whose it is.
    pub identity: Match,
    /// Since when it is exposed, if somebody knows.
    pub since: Option<Since>,
    /// What it did since.
    pub exposure: Option<Exposure>,
}

/// All that was found out in a run.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// Each key once.
    pub keys: BTreeMap<Fingerprint, Check>,
    /// Whether keys were used to find out.
    pub probed: bool,
    /// What was listed, one for each organisation.
    pub listings: Vec<ListingInfo>,
    /// What is to be known beside that: what an admin key lacks, what was left out.
    pub notes: Vec<Masked>,
}

/// A listing, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListingInfo {
    /// The profile by which the organisation is known here.
    pub profile: String,
    /// The organisation, as its own answers name it.
    pub organisation: Option<Masked>,
    /// Projects in it, archived ones too.
    pub projects: u64,
    /// Keys in it, admin keys too.
    pub keys: u64,
    /// How old its oldest part is, in seconds.
    pub age: u64,
    /// Why it is not whole; `None` if it is.
    pub incomplete: Option<Masked>,
}

impl Checks {
    /// Whether each key's fate and identity are known as far as that was asked for.
    pub fn is_complete(&self) -> bool {
        let known = |check: &Check| {
            let verdict = match &check.verdict {
                Verdict::Unknown(why) => why.word == NOT_PROBED && !self.probed,
                _ => true,
            };
            let identity = self.listings.is_empty() || !matches!(check.identity, Match::Unknown(_));
            verdict && identity
        };
        self.keys.values().all(known) && self.listings.iter().all(|l| l.incomplete.is_none())
    }

    /// What is known of a key's life; `None` if nothing was asked about it.
    pub fn verdict(&self, key: &Fingerprint) -> Option<&Verdict> {
        self.keys.get(key).map(|check| &check.verdict)
    }
}
