//! How consumers are moved to the key that their store hands out now: a file for each kind, one
//! [trait](Rollout), and the waiting once for all ([`wait`]).
//!
//! A consumer has stages: the canary, then the rest. Moving a stage is starting it, then asking
//! until it is done; both can be repeated, so that whoever was cut off goes on where it was. A
//! stage is done when nothing is left that holds the old key, not when the new one has begun.

mod error;
mod flag;
mod github;
mod gitlab;
mod health;
mod kubernetes;
mod program;
mod simulated;
mod swarm;
mod systemd;
mod wait;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::error::RolloutError;
pub use self::simulated::Simulated;
pub use self::wait::{Stage, open_stage, wait};
use crate::config::{ConfigError, Section};
use crate::store::Open;
pub use crate::store::Outside;

/// Which of a rotation's moves this is: the same move is not made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To key B.
    Forward,
    /// Back to key A.
    Back,
}

/// Why something is moved.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// The rotation's id.
    pub rotation: &'a str,
    /// To B or back to A.
    pub direction: Direction,
    /// Counts the moves of this rotation that way, from 1: one that has to be made again must not
    /// be taken for the one that was made.
    pub round: u32,
}

impl<'a> Move<'a> {
    /// The first move of a rotation one way.
    pub const fn first(rotation: &'a str, direction: Direction) -> Self {
        Self {
            rotation,
            direction,
            round: 1,
        }
    }
}

impl fmt::Display for Move<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Forward => "forward",
            Direction::Back => "back",
        };
        // How it ends says the direction in any round: what is started may go by that.
        match self.round {
            0 | 1 => write!(f, "{}-{direction}", self.rotation),
            round => write!(f, "{}-{round}-{direction}", self.rotation),
        }
    }
}

/// What was started, in the words of whatever runs it: a revision, a pipeline's number. It goes
/// into the journal and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Started(String);

impl Started {
    /// Takes over the words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not done yet; says what is waited for.
    Moving(String),
    /// Nothing holds the old key any more.
    Done,
    /// It will not be done any more; says why.
    Failed(String),
}

/// A way to move a group of consumers.
pub trait Rollout: Send + Sync {
    /// What is moved and where, for people; holds no credential.
    fn target(&self) -> String;

    /// What will be called, in order, for the plan.
    fn calls(&self, direction: Direction) -> Vec<String>;

    /// The least rights that this needs, one a line.
    fn rights(&self) -> Vec<String>;

    /// Looks whether it can work, without changing anything. What is said should be known
    /// beforehand, as sentences without their full stop.
    ///
    /// # Errors
    /// Something is missing, or we are not let.
    fn preflight(&self) -> Result<Vec<String>, RolloutError>;

    /// Starts the move. Where what runs it can tell, the same move is not started twice.
    ///
    /// # Errors
    /// It could not be started.
    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError>;

    /// Asks how far it is.
    ///
    /// # Errors
    /// That can't be told; [`RolloutError::is_passing`] says whether asking again may help.
    fn progress(&self, started: &Started) -> Result<Progress, RolloutError>;
}

/// A kind of rollout.
pub struct Kind {
    /// What `kind` says in the configuration.
    pub name: &'static str,
    /// One line about it.
    pub help: &'static str,
    open: Open<dyn Rollout>,
}

/// The kinds. A new one is one file and one line here.
#[rustfmt::skip]
pub const KINDS: &[Kind] = &[
    Kind { name: "kubernetes", help: "a Deployment, StatefulSet or DaemonSet whose pods are replaced", open: kubernetes::open },
    Kind { name: "swarm", help: "a service of a Docker Swarm whose tasks are replaced", open: swarm::open },
    Kind { name: "systemd", help: "a systemd unit that is restarted", open: systemd::open },
    Kind { name: "gitlab", help: "a pipeline of GitLab that is waited for", open: gitlab::open },
    Kind { name: "github", help: "a workflow of GitHub Actions that is waited for", open: github::open },
    Kind { name: "flag", help: "a feature flag that a request switches", open: flag::open },
    Kind { name: "program", help: "a program of your own", open: program::open },
];

/// Opens the rollout that a section of the configuration describes. Nothing is asked of it yet.
///
/// # Errors
/// A setting is wrong, or a credential can't be had.
pub fn open(section: &Section, outside: &Outside<'_>) -> Result<Box<dyn Rollout>, ConfigError> {
    let kind = section.choose(KINDS, |kind| kind.name)?;
    (kind.open)(section, outside)
}

/// Tells whether what was moved works.
pub trait Health: Send + Sync {
    /// What is asked, for the plan.
    fn question(&self) -> String;

    /// Asks once; `Err` says what is wrong.
    ///
    /// # Errors
    /// It does not work, or can't be asked. Both count as unhealthy.
    fn check(&self) -> Result<(), RolloutError>;
}
