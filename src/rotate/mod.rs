//! From a leaked key to a revoked one: make key B, store it, roll it out, prove that it is used,
//! revoke key A, and keep a journal in which every intent stands before its act.
//!
//! [`states`](Rotation) are types, `Run` does the acts, `memory` adds up what the journal says, and
//! `drive` finds the way on from wherever a rotation stands: a rotation that was killed goes on
//! like one that was not.

mod act;
mod api;
mod contain;
mod drive;
mod expiry;
mod gate;
mod handover;
mod journal;
mod make;
mod memory;
mod names;
mod organisation;
mod plan;
mod prepare;
mod proof;
mod run;
mod states;
mod tell;
mod telling;
mod undo;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

pub use self::act::{Act, Entry, Fact, Phase};
pub use self::api::{Api, row};
pub use self::contain::{Ceiling, ContainError, Limits, contain, restore};
pub use self::drive::Standing;
pub use self::gate::{Shut, allowed, eligible};
pub use self::handover::{NoHandOver, hand_over};
pub use self::journal::{Journal, JournalError, Summary};
pub use self::memory::{Attempt, Expiry, Made, Memory, Versions};
pub use self::names::{Due, NameError, TEMPLATE, due, name, words};
pub use self::organisation::{Answer, CallError, Minted, Organisation, Owner, Row, Scopes, Use};
pub use self::plan::{Consumer, Making, Plan, Revoking, Strategy, Waits};
pub use self::prepare::{Prepared, Wish, prepare};
pub use self::run::{Halt, Run, World};
pub use self::states::{
    Canary, Closed, Created, Limited, Preflighted, Probed, Proved, Quiet, Revoked, RevokedFirst,
    RolledOut, Rotation, Staged, Step, Stopped, Validated,
};
pub use self::tell::event;
