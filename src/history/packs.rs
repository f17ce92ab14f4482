//! Packs: searched on all cores, or known from an earlier audit.

use std::collections::BTreeSet;

use super::database::Database;
use super::keys::Source;
use super::links::{Lately, Links};
use super::memory::{SearchedPack, by_key, recall};
use super::objects::Packed;
use super::search::Search;
use super::unread::{Unreadable, lasts};
use super::walk::walk;
use crate::coverage::{Excluded, Tally};
use crate::repo::ObjectId;
use crate::secret::Masked;

impl Database<'_> {
    /// Whether an earlier audit has searched a pack: then it need not be read.
    pub(super) fn recall(&mut self, number: usize) -> bool {
        let pack = &self.objects.packs[number];
        let known = self
            .memory
            .and_then(|memory| memory.pack(pack, &self.objects))
            .filter(|known| known.outside.is_some() || !self.asks());
        let Some(known) = known else {
            return false;
        };
        pack.vouch();
        recall(&known.seen, &mut self.keys, |_| true);
        if let Some(outside) = known.outside.filter(|_| self.asks()) {
            self.named.add(&outside, pack.is_promised());
        }
        self.commits += known.commits;
        self.remember(known.read, known.packed, known.members);
        let unread = known.unread.into_iter().map(|id| (id, None));
        self.unread_again(unread.collect());
        true
    }

    /// Searches a pack.
    pub(super) fn pack(&mut self, number: usize) {
        let asks = self.asks();
        let Self {
            history,
            objects,
            coverage,
            ..
        } = self;
        let pack = &objects.packs[number];
        if pack.missing() > 0 {
            let why = format!(
                "is damaged: {} of its objects can't be found",
                pack.missing()
            );
            coverage.fail(history.masked(pack.path()), why);
        } else if let Some(damage) = pack.index_damage() {
            let why = format!("its index is of no use ({damage}); it was read without one");
            coverage.fail(history.masked(pack.path()), why);
        }
        let failed = coverage.failed;
        let forest = objects.forest(number);
        let name = |entry: u32| match pack.id(entry) {
            Some(id) => Masked::vouched(format!("object {id}")),
            None => Masked::vouched(format!(
                "object at byte {} of {}",
                pack.start(entry),
                history.masked(pack.path())
            )),
        };
        let source = |entry: u32| match pack.id(entry) {
            Some(id) => Source::Object(id),
            None => Source::Unnamed(Packed {
                pack: number as u32,
                start: pack.start(entry),
            }),
        };
        let holds = |id: &ObjectId| pack.offset(id).is_some();
        let links = Links {
            holds: &holds,
            id_length: objects.id_length(),
            promised: pack.is_promised(),
            lately: Lately::new(if asks { pack.bound() } else { 0 }),
        };
        let search = Search::new(
            history.matcher,
            history.unpacking,
            history.progress,
            history.stop,
        );
        // Without an index nobody knows what a pack holds.
        let search = match pack.identity() {
            Some(_) if asks => search.with_links(&links),
            _ => search,
        };
        let outside = |id: &ObjectId| objects.read(id).ok().flatten();
        let walked = walk(
            pack,
            forest,
            &forest.roots(None),
            &search,
            &outside,
            history.threads,
            history.stop,
        );
        for (entry, damage) in &forest.damaged {
            coverage.fail(name(*entry), damage.to_string());
        }
        let mut searched = SearchedPack {
            bases: forest.outside.clone(),
            ..SearchedPack::default()
        };
        let (mut seen, mut seen_before) = (Vec::new(), Tally::default());
        let mut named = Vec::new();
        let (mut unread, mut damaged) = (Vec::new(), Vec::new());
        for results in walked {
            searched.read.merge(results.read);
            searched.packed.merge(results.packed);
            searched.members.merge(results.members);
            seen_before.merge(results.seen_before);
            unread.extend(results.unread);
            named.extend(results.outside);
            searched.commits += results.commits;
            damaged.extend(results.damaged);
            for one in results.occurrences {
                let source = source(one.entry);
                if let Source::Object(id) = source {
                    seen.push((one.hit.fingerprint, id, one.at));
                }
                self.keys.add(source, one.at, one.hit);
            }
        }
        // Which thread read what differs from run to run; what is told does not.
        unread.sort_by_key(|one: &(u32, _)| one.0);
        damaged.sort_by_key(|one: &(u32, _)| one.0);
        let containers = unread.chunk_by(|one, next| one.0 == next.0);
        let containers = containers.map(|of_one| {
            let entry = of_one[0].0;
            Unreadable {
                source: source(entry),
                name: name(entry),
                members: of_one.iter().map(|one| one.1.clone()).collect(),
                stands: None,
            }
        });
        self.unread.extend(containers);
        for (entry, damage) in damaged {
            coverage.fail(name(entry), damage.to_string());
        }
        named.sort_unstable();
        named.dedup();
        self.named.add(&named, pack.is_promised());
        searched.outside = asks.then_some(named);
        self.commits += searched.commits;
        coverage.read.merge(searched.read);
        coverage.members.merge(searched.members);
        coverage.exclude_all(Excluded::Packed, searched.packed);
        coverage.exclude_all(Excluded::SeenBefore, seen_before);
        // What was passed over since another object has it depends on that one.
        let passed_over = seen_before != Tally::default();
        // With more memory or time, what was over a limit is read.
        let lasts = unread.iter().all(|(_, member)| lasts(member));
        let sound = coverage.failed == failed && lasts && !passed_over && history.go_on();
        if sound && self.memory.is_some() {
            searched.seen = by_key(seen);
            let unread = unread.iter().filter_map(|one| pack.id(one.0));
            searched.unread = unread.collect::<BTreeSet<_>>().into_iter().collect();
            self.searched.push((number, searched));
        }
    }
}
