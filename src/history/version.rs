//! Versions of an object along a path of a delta tree: bytes, or a delta and the base it needs.
//! Any part can be fetched through the instruction lists, without rebuilding the rest.

use std::ops::Range;
use std::sync::Arc;

use super::damage::Damage;
use super::delta::{Delta, Segment};

/// How long a chain of deltas may become before a version is rebuilt: fetching goes through all
/// of it.
const LONGEST_CHAIN: u32 = 96;

/// How many bytes the deltas of a chain may have beyond the size of the version that they lead to.
const HEAVIEST_CHAIN: usize = 4 << 20;

/// What looking up a border through one more delta costs, in bytes that could be copied in that
/// time: once a chain has cost as much as rebuilding the version would, it is rebuilt. Measured on
/// git/git, where it is a tenth faster than rebuilding all bases and a fifth than rebuilding none.
const FETCH_PRICE: u64 = 60;

/// Versions beyond this (64 MiB) are never rebuilt: a few instructions can claim gigabytes.
const LARGEST_REBUILT: u32 = 64 << 20;

/// A version that others are deltas against, with what was found in it.
pub(super) struct Node<M> {
    body: Body<M>,
    pub(super) marks: M,
    length: u32,
    /// Deltas from here to the bytes at the bottom, and how much memory they hold.
    chain: u32,
    weight: usize,
    /// What fetching through the chain has cost until now, in bytes that could have been copied
    /// for it.
    debt: u64,
}

enum Body<M> {
    Bytes(Box<[u8]>),
    Delta {
        /// Taken only when dropped, see there.
        base: Option<Arc<Node<M>>>,
        segments: Box<[Segment]>,
        inserted: Box<[u8]>,
    },
}

/// A version that was just read: a delta and its base.
pub(super) struct Version<'a, M> {
    pub(super) delta: Delta<'a>,
    pub(super) base: &'a Node<M>,
}

impl<M> Clone for Version<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Version<'_, M> {}

impl<M> Node<M> {
    /// A version whose bytes are at hand.
    pub(super) fn whole(bytes: &[u8], marks: M) -> Result<Self, Damage> {
        let length =
            u32::try_from(bytes.len()).map_err(|_| Damage::TooLarge(bytes.len() as u64))?;
        Ok(Self {
            body: Body::Bytes(bytes.into()),
            marks,
            length,
            chain: 0,
            weight: bytes.len(),
            debt: 0,
        })
    }

    /// A version as a delta against `base`, or rebuilt if the chain would become too long.
    pub(super) fn delta(base: Arc<Self>, delta: Delta<'_>, children: usize, marks: M) -> Self {
        let own = size_of_val(delta.segments) + delta.inserted.len();
        let (chain, weight) = (base.chain + 1, base.weight + own);
        let length = delta.length;
        let borders = delta.segments.len() as u64 * children as u64;
        let debt = base.debt + borders * u64::from(chain) * FETCH_PRICE;
        let long = chain > LONGEST_CHAIN
            || debt > u64::from(length)
            || weight > HEAVIEST_CHAIN + length as usize;
        if long && length <= LARGEST_REBUILT {
            let mut bytes = Vec::with_capacity(length as usize);
            Version { delta, base: &base }.fetch(0..length, &mut bytes);
            let weight = bytes.len();
            return Self {
                body: Body::Bytes(bytes.into()),
                marks,
                length,
                chain: 0,
                weight,
                debt: 0,
            };
        }
        Self {
            body: Body::Delta {
                base: Some(base),
                segments: delta.segments.into(),
                inserted: delta.inserted.into(),
            },
            marks,
            length,
            chain,
            weight,
            debt,
        }
    }

    pub(super) fn length(&self) -> u32 {
        self.length
    }

    /// The byte at `at`.
    fn byte(&self, mut at: u32) -> u8 {
        let mut node = self;
        loop {
            match &node.body {
                Body::Bytes(bytes) => return bytes[at as usize],
                Body::Delta { base, .. } => {
                    let delta = node.as_delta();
                    let segment = &delta.segments[delta.segment_at(at)];
                    at = segment.from + (at - segment.at);
                    match base {
                        Some(base) if segment.copied => node = base,
                        _ => return delta.inserted[at as usize],
                    }
                }
            }
        }
    }

    fn as_delta(&self) -> Delta<'_> {
        match &self.body {
            Body::Bytes(bytes) => Delta {
                segments: &[],
                inserted: bytes,
                length: self.length,
            },
            Body::Delta {
                segments, inserted, ..
            } => Delta {
                segments,
                inserted,
                length: self.length,
            },
        }
    }
}

/// A chain can be as long as a pack: dropping one link after another must not recurse.
impl<M> Drop for Node<M> {
    fn drop(&mut self) {
        let Body::Delta { base, .. } = &mut self.body else {
            return;
        };
        let mut next = base.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = match &mut node.body {
                Body::Delta { base, .. } => base.take(),
                Body::Bytes(_) => None,
            };
        }
    }
}

impl<M> Version<'_, M> {
    /// The byte at `at`, which lies in the version.
    pub(super) fn byte(&self, at: u32) -> u8 {
        let segment = &self.delta.segments[self.delta.segment_at(at)];
        let from = segment.from + (at - segment.at);
        if segment.copied {
            self.base.byte(from)
        } else {
            self.delta.inserted[from as usize]
        }
    }

    /// Appends the bytes of `range`, which lies in the version, to `out`. Needs no recursion,
    /// however long the chain.
    pub(super) fn fetch(&self, range: Range<u32>, out: &mut Vec<u8>) {
        let mut todo: Vec<(&Node<M>, Range<u32>)> = Vec::new();
        take(self.delta, range, out, |part, out| {
            todo.push((self.base, part));
            let first = todo.len() - 1;
            while todo.len() > first {
                let Some((mut node, mut range)) = todo.pop() else {
                    break;
                };
                // Mostly a range is copied as a whole, and there is nothing to remember.
                loop {
                    let delta = node.as_delta();
                    let Body::Delta {
                        base: Some(base), ..
                    } = &node.body
                    else {
                        out.extend_from_slice(
                            &delta.inserted[range.start as usize..range.end as usize],
                        );
                        break;
                    };
                    let number = delta.segment_at(range.start);
                    let segment = &delta.segments[number];
                    if range.end <= delta.end(number) {
                        let from = segment.from + (range.start - segment.at);
                        range = from..from + (range.end - range.start);
                        if segment.copied {
                            node = base;
                            continue;
                        }
                        out.extend_from_slice(
                            &delta.inserted[range.start as usize..range.end as usize],
                        );
                        break;
                    }
                    // The first segment's part now, the rest after it.
                    let end = delta.end(number);
                    todo.push((node, end..range.end));
                    range.end = end;
                }
            }
        });
    }
}

/// Appends what `delta` inserts into `range`, and calls `copied` for what it copies.
fn take(
    delta: Delta<'_>,
    range: Range<u32>,
    out: &mut Vec<u8>,
    mut copied: impl FnMut(Range<u32>, &mut Vec<u8>),
) {
    if range.is_empty() {
        return;
    }
    let mut number = delta.segment_at(range.start);
    let mut at = range.start;
    while at < range.end {
        let segment = &delta.segments[number];
        let end = delta.end(number).min(range.end);
        let from = segment.from + (at - segment.at);
        let part = from..from + (end - at);
        if segment.copied {
            copied(part, out);
        } else {
            out.extend_from_slice(&delta.inserted[part.start as usize..part.end as usize]);
        }
        at = end;
        number += 1;
    }
}
