//! What is remembered of a version while its deltas are walked, and what is written down of it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::border::{Border, Borders};
use super::damage::Damage;
use super::links::Head;
use super::room::give_back;
use crate::coverage::Tally;
use crate::examine::{Buffers, UnreadMember};
use crate::matcher::{AnchorId, Examined, Hit, Recent};
use crate::secret::Fingerprint;

/// How many anchors of one version are remembered. Versions of what has more are searched whole.
const MOST_MARKS: usize = 20_000;

/// How many keys of one object are written down: two anchors lead to most.
const MOST_KEYS: usize = 10_000;

/// A key in an object: bytes of it, and what the matcher said. `hit.span` is not this place's.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    pub(super) entry: u32,
    pub(super) at: u64,
    pub(super) hit: Arc<Hit>,
}

/// An anchor in a version, and what came of looking at it.
#[derive(Clone)]
pub(super) struct Mark {
    pub(super) at: u32,
    pub(super) anchor: AnchorId,
    /// What had a say: this many bytes before `at`, and this many from it on.
    pub(super) before: u16,
    pub(super) behind: u16,
    /// That the object begins or ends there may have had a say as well.
    pub(super) at_start: bool,
    pub(super) at_end: bool,
    pub(super) found: Option<Arc<[Found]>>,
}

/// A key found from an anchor.
pub(super) struct Found {
    /// Where it begins, from the anchor on.
    from: i32,
    length: u32,
    hit: Arc<Hit>,
}

/// What is remembered of a version.
pub(super) struct Marks {
    /// All its anchors, in order; `None` if there are too many to remember: versions are searched
    /// without their help.
    pub(super) anchors: Option<Box<[Mark]>>,
    /// Whether it was seen to be no container: it does not begin like one, and lacks
    /// [`crate::unpack::IN_TAILS`], so that it does not end like one.
    pub(super) plain: bool,
}

/// A thread's results, and its scratch.
#[derive(Default)]
pub(super) struct Results {
    pub(super) occurrences: Vec<Occurrence>,
    pub(super) damaged: Vec<(u32, Damage)>,
    /// Objects, and bytes of them that were looked at: whole ones and inserted runs.
    pub(super) read: Tally,
    pub(super) unreported: Tally,
    /// How many of them are commits.
    pub(super) commits: u64,
    /// What they name and the pack does not hold.
    pub(super) outside: Vec<Head>,
    /// How many of the occurrences were told of, and the keys in them.
    told: usize,
    known: BTreeSet<Fingerprint>,
    /// Archives that nobody here unpacks: searched as they are.
    pub(super) packed: Tally,
    /// Members of containers.
    pub(super) members: Tally,
    /// Layers of images that were read before.
    pub(super) seen_before: Tally,
    /// Members that could not be read.
    pub(super) unread: Vec<(u32, UnreadMember)>,
    /// The version at hand: its anchors, and whether there were more than are remembered.
    pub(super) marks: Vec<Mark>,
    pub(super) plain: bool,
    many: bool,
    crowded: bool,
    recent: Recent,
    pub(super) inserted: Vec<(usize, AnchorId)>,
    /// Borders that a literal may cross, and the bytes on either side.
    pub(super) crossed: Vec<Border>,
    pub(super) fetched: Vec<u8>,
    pub(super) hits: Vec<Hit>,
    pub(super) buffers: Buffers,
}

impl Results {
    /// Another version.
    pub(super) fn begin(&mut self, bytes: usize) {
        self.unreported.add(bytes as u64);
        give_back(&mut self.crossed);
        self.marks.clear();
        self.plain = false;
        self.many = false;
        self.crowded = false;
        self.recent = Recent::default();
    }

    /// Keys that this thread has not told of yet.
    pub(super) fn told(&mut self, mut tell: impl FnMut(Fingerprint)) {
        for one in &self.occurrences[self.told..] {
            if self.known.insert(one.hit.fingerprint) {
                tell(one.hit.fingerprint);
            }
        }
        self.told = self.occurrences.len();
    }

    /// Remembers an anchor; of too many only those that led to a key.
    pub(super) fn add(&mut self, mark: Mark) {
        if self.marks.len() >= MOST_MARKS && !self.many {
            self.many = true;
            self.marks.retain(|mark| mark.found.is_some());
        }
        if !self.many {
            self.marks.push(mark);
        } else if mark.found.is_some() {
            if self.marks.len() < 2 * MOST_KEYS {
                self.marks.push(mark);
            } else {
                self.crowded = true;
            }
        }
    }

    /// Writes down what was found in a version, and returns what is to be remembered of it.
    pub(super) fn end(&mut self, borders: &Borders<'_>, entry: Option<u32>) -> Marks {
        if self.marks.len() > 1 {
            self.marks
                .sort_unstable_by_key(|mark| (mark.at, borders.rank(mark.anchor)));
            self.marks.dedup_by_key(|mark| mark.at);
        }
        if let Some(entry) = entry {
            self.record(entry);
        }
        if let (true, Some(entry)) = (self.crowded, entry) {
            self.damaged.push((entry, Damage::Crowded));
        }
        Marks {
            anchors: (!self.many).then(|| self.marks.drain(..).collect()),
            plain: self.plain,
        }
    }

    fn record(&mut self, entry: u32) {
        for mark in &self.marks {
            for found in mark.found.iter().flat_map(|found| found.iter()) {
                let at = (i64::from(mark.at) + i64::from(found.from)) as u64;
                if self.recent.is_new(at, u64::from(found.length)) {
                    self.occurrences.push(Occurrence {
                        entry,
                        at,
                        hit: Arc::clone(&found.hit),
                    });
                }
            }
        }
    }

    /// A key of an object that was searched as a stream, or in a member of one.
    pub(super) fn found(&mut self, entry: u32, at: u64, hit: Hit) {
        self.occurrences.push(Occurrence {
            entry,
            at,
            hit: Arc::new(hit),
        });
    }
}

/// What came of an examination, in the terms of the whole object: `at` and what was touched are
/// places of a text that begins at `start` of an object of `length` bytes.
pub(super) fn mark(
    at: usize,
    anchor: AnchorId,
    start: u32,
    length: usize,
    examined: Examined,
    hits: &mut Vec<Hit>,
) -> Mark {
    let Range {
        start: from,
        end: to,
    } = examined.touched;
    let found = (!hits.is_empty()).then(|| {
        hits.drain(..)
            .map(|hit| Found {
                from: (hit.span.start as i64 - at as i64) as i32,
                length: hit.span.len() as u32,
                hit: Arc::new(hit),
            })
            .collect()
    });
    Mark {
        at: start + at as u32,
        anchor,
        before: (at - from) as u16,
        behind: (to - at) as u16,
        at_start: start == 0 && from == 0,
        at_end: start as usize + to == length,
        found,
    }
}
