//! The audit trail: what was done to keys, by whom and why, as lines of JSON that each carry the
//! hash of the line before.
//!
//! The chain alone finds an edit, a reorder and a gap. A cut tail and a trail that was written
//! anew from the start are found with a [`Head`] that was kept elsewhere: exported, signed, or
//! sent to a log server. No key is ever in it: texts are [`Masked`](crate::secret::Masked), keys
//! are fingerprints.
//!
//! A line's hash is the SHA-256 of its bytes without the line feed, so that a trail can be checked
//! with a shell alone.

mod alert;
mod check;
mod event;
mod export;
mod relay;
mod signature;
mod syslog;
mod trail;

pub use self::alert::{Leaked, NoAlert, Wanted, read as read_alert};
pub use self::check::{Checked, Flaw, check, records};
pub use self::event::{Activity, Entity, EntityKind, Event, Leak, Outcome, Record, Step, Who};
pub use self::export::{PROFILES, Profile, profile};
pub use self::relay::{Relay, Unsent};
pub use self::signature::{BadSignature, NAMESPACE, signer};
pub use self::syslog::{Receiver, Sender, SyslogError, message};
pub use self::trail::{GENESIS, Hash, Head, LONGEST_LINE, Trail, TrailError};
