//! How far unpacking goes, and the meter that says when it has gone too far.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Buffers;
use crate::coverage::{Limit, Tally, Unread};
use crate::matcher::Matcher;
use crate::unpack::{Budget, TooMuchMemory};

/// How far unpacking goes. Each bound is for one outermost file or blob, but for `member_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers in each other, [`DEEPEST`] at most. 0: nothing is unpacked.
    pub depth: u64,
    /// Bytes of one member, unpacked.
    pub member_size: u64,
    /// Bytes of all members, unpacked; what is packed twice counts twice.
    pub unpacked_size: u64,
    /// Bytes of all members as a multiple of the outermost file's size, from 64 MiB on.
    pub ratio: u64,
    /// How many members.
    pub members: u64,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 16,
            member_size: 4 << 30,
            unpacked_size: 16 << 30,
            ratio: 1000,
            members: 1_000_000,
            time: Duration::from_secs(300),
        }
    }
}

/// No limit of depth is higher: each level takes some of the stack.
pub const DEEPEST: u64 = 64;

/// How much may be unpacked of a file of any size.
const ALWAYS: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// The memory for windows and held members, by default.
pub const MEMORY: u64 = 256 << 20;

/// What all examinations of a run share.
#[derive(Clone)]
pub struct Unpacking {
    /// How far it goes.
    pub limits: Limits,
    /// Memory for windows and held members.
    pub budget: Arc<Budget>,
    /// Time since some moment.
    pub clock: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// What is not to be read twice: layers of images.
    pub seen: Arc<Mutex<HashSet<[u8; 32]>>>,
}

impl Default for Unpacking {
    /// The default limits, without the one of time: nobody said what time it is.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            budget: Budget::new(MEMORY),
            clock: Arc::new(|| Duration::ZERO),
            seen: Arc::default(),
        }
    }
}

/// One outermost blob, while it is unpacked.
pub(super) struct Job<'a> {
    pub(super) matcher: &'a Matcher,
    pub(super) unpacking: &'a Unpacking,
    pub(super) go_on: &'a (dyn Fn() -> bool + Sync),
    pub(super) scratch: super::held::Scratch,
    started: Duration,
    /// Bytes of the outermost blob, as far as they are known.
    outer: AtomicU64,
    unpacked: AtomicU64,
    members: AtomicU64,
    halted: AtomicBool,
    seen: Mutex<Tally>,
}

/// Why a stream ends before its end.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing more is wanted, or somebody told already.
    Told,
    /// It is to be told.
    Untold(Unread),
}

impl<'a> Job<'a> {
    pub(super) fn new(
        matcher: &'a Matcher,
        unpacking: &'a Unpacking,
        go_on: &'a (dyn Fn() -> bool + Sync),
        outer: u64,
    ) -> Self {
        Self {
            matcher,
            unpacking,
            go_on,
            scratch: super::held::Scratch::default(),
            started: (unpacking.clock)(),
            outer: AtomicU64::new(outer),
            unpacked: AtomicU64::new(0),
            members: AtomicU64::new(0),
            halted: AtomicBool::new(false),
            seen: Mutex::default(),
        }
    }

    /// See [`Members::seen`](crate::unpack::Members::seen).
    pub(super) fn seen(&self, identity: [u8; 32], bytes: u64) -> bool {
        let before = &self.unpacking.seen;
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = !before.insert(identity);
        if seen {
            let mut tally = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(bytes);
        }
        seen
    }

    /// What was seen before.
    pub(super) fn seen_before(&self) -> Tally {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.unpacking.limits
    }

    /// Whether nothing is unpacked at this depth any more.
    pub(super) fn is_too_deep(&self, depth: u64) -> bool {
        depth >= self.limits().depth.min(DEEPEST)
    }

    /// More of the outermost blob has been read.
    pub(super) fn read_outer(&self, bytes: u64) {
        self.outer.fetch_add(bytes, Relaxed);
    }

    /// Members that were met.
    pub(super) fn members(&self) -> u64 {
        self.members.load(Relaxed)
    }

    /// Bytes that were unpacked.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked.load(Relaxed)
    }

    /// Whether anything more is wanted.
    pub(super) fn goes_on(&self) -> bool {
        !self.halted.load(Relaxed) && (self.go_on)()
    }

    /// Counts unpacked bytes. After the first limit that is passed, nothing more is wanted; it is
    /// told once.
    pub(super) fn count(&self, members: u64, bytes: u64) -> Result<(), Fault> {
        if !self.goes_on() {
            return Err(Fault::Told);
        }
        let limits = self.limits();
        let members = self.members.fetch_add(members, Relaxed) + members;
        let unpacked = self.unpacked.fetch_add(bytes, Relaxed) + bytes;
        let outer = self.outer.load(Relaxed);
        let over = if members > limits.members {
            Limit::Members
        } else if unpacked > limits.unpacked_size {
            Limit::UnpackedSize
        } else if unpacked > ALWAYS && unpacked / limits.ratio.max(1) > outer {
            Limit::Ratio
        } else if (self.unpacking.clock)().saturating_sub(self.started) > limits.time {
            Limit::Seconds
        } else {
            return Ok(());
        };
        match self.halted.swap(true, Relaxed) {
            true => Err(Fault::Told),
            false => Err(Fault::Untold(Unread::Over(over))),
        }
    }

    pub(super) fn buffers(&self) -> Buffers {
        self.scratch.buffers()
    }
}

/// A member's stream under the limits. After its first error it is at its end.
pub(super) struct Metered<'a, 'j> {
    inner: &'a mut dyn Read,
    job: &'a Job<'j>,
    pub(super) read: u64,
    pub(super) fault: Option<Fault>,
    /// Whether this is the outermost blob, to which no limits apply.
    outermost: bool,
}

/// Marks an error that has been told of.
#[derive(Debug, thiserror::Error)]
#[error("it can't be read on")]
struct Told;

/// Whether an error was made by a stream around this one, which tells.
fn is_told(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else {
        return false;
    };
    inner.is::<Told>() || inner.downcast_ref::<io::Error>().is_some_and(is_told)
}

/// An error of a reader, in words.
pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => "it is cut off".to_owned(),
        _ => error.to_string(),
    }
}

impl<'a, 'j> Metered<'a, 'j> {
    pub(super) fn new(inner: &'a mut dyn Read, job: &'a Job<'j>) -> Self {
        Self {
            inner,
            job,
            read: 0,
            fault: None,
            outermost: false,
        }
    }

    /// The outermost blob as a stream.
    pub(super) fn outermost(inner: &'a mut dyn Read, job: &'a Job<'j>) -> Self {
        Self {
            outermost: true,
            ..Self::new(inner, job)
        }
    }

    fn fail(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        io::Error::other(Told)
    }
}

impl Read for Metered<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if let Some(fault) = &self.fault {
            let fault = fault.clone();
            return Err(self.fail(fault));
        }
        let left = match self.outermost {
            true => u64::MAX,
            false => self.job.limits().member_size - self.read,
        };
        let mut one = [0];
        let result = match left {
            0 => self.inner.read(&mut one),
            _ => {
                let most = left.min(to.len() as u64) as usize;
                self.inner.read(&mut to[..most])
            }
        };
        let read = match result {
            Ok(0) => return Ok(0),
            Ok(_) if left == 0 => {
                return Err(self.fail(Fault::Untold(Unread::Over(Limit::MemberSize))));
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) if is_told(&error) => return Err(self.fail(Fault::Told)),
            Err(error) => {
                let why = match error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<TooMuchMemory>())
                {
                    true => Unread::Over(Limit::Memory),
                    false => Unread::Damaged(in_words(&error)),
                };
                return Err(self.fail(Fault::Untold(why)));
            }
        };
        self.read += read as u64;
        let counted = match self.outermost {
            true => {
                self.job.read_outer(read as u64);
                self.job.count(0, 0)
            }
            false => self.job.count(0, read as u64),
        };
        match counted {
            Ok(()) => Ok(read),
            Err(fault) => Err(self.fail(fault)),
        }
    }
}
