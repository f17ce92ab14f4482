//! The walk: every entry of a pack inflated once, bases before their deltas, on all cores.

use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use flate2::bufread::ZlibDecoder;

use super::damage::Damage;
use super::delta::Parsed;
use super::ends::{Ends, NO_ENDS};
use super::forest::{Forest, Plant};
use super::inflate::Inflater;
use super::pack::{Form, Pack};
use super::version::{Node, Scratch, Version};
use crate::repo::{ObjectId, ObjectKind as Kind};

/// How many roots an idle thread takes at once.
const CHUNK: u32 = 32;

/// Objects of this size (64 MiB) and more are streamed; smaller ones are in tests.
const STREAMED_FROM: u64 = if cfg!(test) { 64 << 10 } else { 64 << 20 };

/// What is done with each version.
pub(super) trait Visit: Sync {
    /// What is remembered of a version while its deltas are walked.
    type Marks: Send + Sync;
    /// A thread's own scratch and results.
    type Local: Send;

    /// What it asks of the borders of deltas; nothing by itself.
    fn ends(&self) -> &Ends {
        &NO_ENDS
    }

    /// A thread begins.
    fn local(&self) -> Self::Local;

    /// Now and then, and at a thread's end.
    fn report(&self, _local: &mut Self::Local) {}

    /// A version that the pack holds whole.
    fn whole(&self, local: &mut Self::Local, entry: u32, kind: Kind, bytes: &[u8]) -> Self::Marks;

    /// A version that is too large to be held, and that none is a delta against. Returns how many
    /// bytes there were.
    fn streamed(&self, _local: &mut Self::Local, _entry: u32, _reader: &mut dyn Read) -> u64 {
        0
    }

    /// A version that is a delta.
    fn delta(
        &self,
        local: &mut Self::Local,
        entry: u32,
        kind: Kind,
        version: Version<'_, Self::Marks>,
    ) -> Self::Marks;

    /// An object outside the pack that deltas in it are made against: remembered, not counted.
    fn borrowed(&self, local: &mut Self::Local, kind: Kind, bytes: &[u8]) -> Self::Marks;

    /// A version that can't be read, and so neither can what is made from it.
    fn damaged(&self, local: &mut Self::Local, entry: u32, damage: Damage);
}

/// Finds objects that a pack's deltas need and the pack does not hold.
pub(super) type Outside<'a> = dyn Fn(&ObjectId) -> Option<(Kind, Vec<u8>)> + Sync + 'a;

/// A version that others are deltas against.
type Base<M> = (Arc<Node<M>>, Kind);

/// Siblings still to be walked, and what they are deltas against.
struct Pending<M> {
    base: Option<Base<M>>,
    /// A range of the forest's plants or, without a base, of the roots to be walked.
    plants: Range<u32>,
}

/// What idle threads take from.
struct Shared<M> {
    state: Mutex<State<M>>,
    wake: Condvar,
    /// How many idle threads nobody has given anything yet.
    hungry: AtomicUsize,
}

struct State<M> {
    pending: Vec<Pending<M>>,
    /// How many threads have nothing to do.
    idle: usize,
    over: bool,
}

/// Walks the trees of a pack's forest that have these roots, and what is made against objects outside
/// of it, with `threads` threads; returns their results. Ends early once `stop` is set.
pub(super) fn walk<V: Visit>(
    pack: &Pack,
    forest: &Forest,
    roots: &[u32],
    visit: &V,
    outside: &Outside<'_>,
    threads: usize,
    stop: &AtomicBool,
) -> Vec<V::Local> {
    let shared = Shared {
        state: Mutex::new(State {
            pending: vec![Pending {
                base: None,
                plants: 0..roots.len() as u32,
            }],
            idle: 0,
            over: false,
        }),
        wake: Condvar::new(),
        hungry: AtomicUsize::new(0),
    };
    let threads = threads.max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let shared = &shared;
                scope.spawn(move || {
                    let _alarm = Alarm(shared);
                    let mut worker = Worker {
                        pack,
                        forest,
                        roots,
                        visit,
                        local: visit.local(),
                        inflater: Inflater::default(),
                        parsed: Parsed::default(),
                        scratch: Scratch::default(),
                        stack: Vec::new(),
                    };
                    if number == 0 {
                        worker.start(outside);
                    }
                    worker.run(shared, threads, stop);
                    visit.report(&mut worker.local);
                    worker.local
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| match worker.join() {
                Ok(local) => local,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// Sends the others home if a thread panics: they would wait for it for ever.
struct Alarm<'a, M>(&'a Shared<M>);

impl<M> Drop for Alarm<'_, M> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.finish();
        }
    }
}

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self) {
        self.lock().over = true;
        self.wake.notify_all();
    }

    fn count_hungry(&self, state: &State<M>) {
        let hungry = state.idle.saturating_sub(state.pending.len());
        self.hungry.store(hungry, Ordering::Relaxed);
    }

    /// Something to do, or `None` once nobody has anything left.
    fn take(&self, threads: usize) -> Option<Pending<M>> {
        let mut state = self.lock();
        state.idle += 1;
        let taken = loop {
            if state.over {
                break None;
            }
            if let Some(mut last) = state.pending.pop() {
                // Roots are many and alike: they are dealt out in chunks.
                if last.base.is_none() && last.plants.len() as u32 > CHUNK {
                    let middle = last.plants.start + CHUNK;
                    state.pending.push(Pending {
                        base: None,
                        plants: middle..last.plants.end,
                    });
                    last.plants.end = middle;
                }
                break Some(last);
            }
            if state.idle == threads {
                state.over = true;
                self.wake.notify_all();
                break None;
            }
            self.count_hungry(&state);
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        state.idle -= 1;
        self.count_hungry(&state);
        taken
    }

    fn give(&self, item: Pending<M>) {
        let mut state = self.lock();
        state.pending.push(item);
        self.count_hungry(&state);
        self.wake.notify_one();
    }
}

struct Worker<'a, V: Visit> {
    pack: &'a Pack,
    forest: &'a Forest,
    roots: &'a [u32],
    visit: &'a V,
    local: V::Local,
    inflater: Inflater,
    parsed: Parsed,
    scratch: Scratch,
    stack: Vec<Pending<V::Marks>>,
}

impl<V: Visit> Worker<'_, V> {
    /// What is no part of the trees with a root in this pack.
    fn start(&mut self, outside: &Outside<'_>) {
        for (number, id) in self.forest.grafts() {
            let node = outside(id)
                .ok_or(Damage::Base(*id))
                .and_then(|(kind, bytes)| {
                    let marks = self.visit.borrowed(&mut self.local, kind, &bytes);
                    Ok((Arc::new(Node::whole(bytes, marks)?), kind))
                });
            match node {
                Ok(base) => {
                    let below = self.delta(number, &base);
                    self.stack.extend(below);
                }
                Err(damage) => self.lose(number, damage),
            }
        }
    }

    fn run(&mut self, shared: &Shared<V::Marks>, threads: usize, stop: &AtomicBool) {
        loop {
            let Some(mut item) = self.stack.pop() else {
                self.visit.report(&mut self.local);
                let Some(item) = shared.take(threads) else {
                    return;
                };
                self.stack.push(item);
                continue;
            };
            let Some(at) = item.plants.next() else {
                continue;
            };
            if let Some(next) = item.plants.clone().next() {
                let next = match item.base {
                    None => self.roots[next as usize],
                    Some(_) => next,
                };
                self.pack.expect(self.forest.plant_at(next).range().start);
            }
            let below = match &item.base {
                None => self.whole(self.roots[at as usize]),
                Some(base) => self.delta(at, base),
            };
            // After the last sibling the base is let go.
            if !item.plants.is_empty() {
                self.stack.push(item);
            }
            self.stack.extend(below);
            if stop.load(Ordering::Relaxed) {
                shared.finish();
                return;
            }
            if shared.hungry.load(Ordering::Relaxed) > 0 {
                self.share(shared);
            }
        }
    }

    /// Gives away what lies deepest in the stack, since that is closest to a root: half of the
    /// siblings if there are several.
    fn share(&mut self, shared: &Shared<V::Marks>) {
        let Some(lowest) = self.stack.first_mut() else {
            return;
        };
        let left = lowest.plants.len() as u32;
        if left > 1 {
            let middle = lowest.plants.start + left / 2;
            let given = Pending {
                base: lowest.base.clone(),
                plants: middle..lowest.plants.end,
            };
            lowest.plants.end = middle;
            shared.give(given);
        } else if self.stack.len() > 1 {
            shared.give(self.stack.remove(0));
        }
    }

    /// A plant and its children, the first of which is likely to be next.
    fn begin(&self, number: u32) -> (Plant, Range<u32>) {
        let children = self.forest.children(number);
        if let Some(first) = children.clone().next() {
            self.pack.expect(self.forest.plant_at(first).range().start);
        }
        (self.forest.plant_at(number), children)
    }

    /// Visits a plant that is whole; returns its children.
    fn whole(&mut self, number: u32) -> Option<Pending<V::Marks>> {
        let (plant, children) = self.begin(number);
        let entry = plant.entry;
        let node = self.pack.header(&plant.range()).and_then(|header| {
            let Form::Whole(kind) = header.form else {
                return Err(Damage::Header);
            };
            let data = self.pack.data(&header, plant.range().end);
            if header.size > STREAMED_FROM && children.is_empty() {
                let mut reader = ZlibDecoder::new(data).take(header.size.saturating_add(1));
                let read = self.visit.streamed(&mut self.local, entry, &mut reader);
                return match reader.limit() == 1 && read == header.size {
                    true => Ok(None),
                    false => Err(Damage::Size),
                };
            }
            let bytes = self.inflater.inflate(data, header.size)?.own();
            let marks = self.visit.whole(&mut self.local, entry, kind, bytes);
            if children.is_empty() {
                return Ok(None);
            }
            Ok(Some((Arc::new(Node::whole(bytes.to_vec(), marks)?), kind)))
        });
        self.descend(number, node)
    }

    /// The same of one that is a delta.
    fn delta(&mut self, number: u32, base: &Base<V::Marks>) -> Option<Pending<V::Marks>> {
        let (base, kind) = (&*base.0, base.1);
        let (plant, children) = self.begin(number);
        let entry = plant.entry;
        let node = self.pack.header(&plant.range()).and_then(|header| {
            let data = self.pack.data(&header, plant.range().end);
            let delta = self.inflater.inflate(data, header.size)?;
            let length = u64::from(base.length());
            self.parsed.parse(delta, length, self.visit.ends())?;
            let delta = self.parsed.view();
            let version = Version {
                delta,
                base,
                cursors: &self.scratch.cursors,
            };
            let marks = self.visit.delta(&mut self.local, entry, kind, version);
            if children.is_empty() {
                return Ok(None);
            }
            let node = Node::delta(base, delta, marks, &mut self.scratch)?;
            Ok(Some((Arc::new(node), kind)))
        });
        self.descend(number, node)
    }

    fn descend(
        &mut self,
        number: u32,
        node: Result<Option<Base<V::Marks>>, Damage>,
    ) -> Option<Pending<V::Marks>> {
        match node {
            Ok(None) => None,
            Ok(base) => Some(Pending {
                base,
                plants: self.forest.children(number),
            }),
            Err(damage) => {
                self.lose(number, damage);
                None
            }
        }
    }

    /// Everything that is made from a damaged entry is lost with it.
    fn lose(&mut self, number: u32, damage: Damage) {
        let entry = |number| self.forest.plant_at(number).entry;
        self.visit.damaged(&mut self.local, entry(number), damage);
        let mut below = vec![self.forest.children(number)];
        while let Some(range) = below.pop() {
            for number in range {
                self.visit
                    .damaged(&mut self.local, entry(number), Damage::Unrooted);
                below.push(self.forest.children(number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge::{self, Entry, Step};
    use super::*;

    /// Counts what each thread does, and takes its time.
    struct Counter;

    impl Visit for Counter {
        type Marks = ();
        type Local = u32;

        fn local(&self) -> u32 {
            0
        }

        fn whole(&self, local: &mut u32, _: u32, _: Kind, _: &[u8]) {
            *local += 1;
        }

        fn delta(&self, local: &mut u32, _: u32, _: Kind, _: Version<'_, ()>) {
            std::thread::sleep(std::time::Duration::from_micros(500));
            *local += 1;
        }

        fn borrowed(&self, _: &mut u32, _: Kind, _: &[u8]) {}

        fn damaged(&self, _: &mut u32, entry: u32, damage: Damage) {
            panic!("{entry}: {damage}");
        }
    }

    #[test]
    fn one_giant_tree_keeps_all_threads_busy() {
        const ENTRIES: usize = 1000;
        let copy = || forge::delta(4, 4, &[Step::Copy(0, 4)]);
        let mut entries = vec![Entry::Blob(b"text".to_vec())];
        entries.extend((1..ENTRIES).map(|n| Entry::Offset((n - 1) / 2, copy())));
        let directory = tempfile::tempdir().unwrap();
        let path = forge::write(directory.path(), &entries, 2);
        let pack = Pack::open(&path, 20).unwrap();
        let forest = Forest::plant(&pack);
        assert_eq!(forest.roots(None), [0]);
        let stop = AtomicBool::new(false);
        let counts = walk(
            &pack,
            &forest,
            &forest.roots(None),
            &Counter,
            &|_| None,
            4,
            &stop,
        );
        assert_eq!(counts.iter().sum::<u32>(), ENTRIES as u32);
        let least = counts.iter().min().copied().unwrap_or_default();
        assert!(least > ENTRIES as u32 / 8, "{counts:?}");
    }
}
