//! Sets of keys, each stored once: most trees of a repository hold the same few.

use std::collections::HashMap;

/// A set, by number. Zero is the empty one.
pub(super) type Set = u32;

/// All sets that came up.
pub(super) struct Sets {
    members: Vec<Box<[u32]>>,
    numbers: HashMap<Box<[u32]>, Set>,
    unions: HashMap<(Set, Set), Set>,
}

impl Default for Sets {
    fn default() -> Self {
        let mut sets = Self {
            members: Vec::new(),
            numbers: HashMap::new(),
            unions: HashMap::new(),
        };
        sets.number(Box::default());
        sets
    }
}

impl Sets {
    fn number(&mut self, members: Box<[u32]>) -> Set {
        if let Some(known) = self.numbers.get(&members) {
            return *known;
        }
        let number = self.members.len() as Set;
        self.members.push(members.clone());
        self.numbers.insert(members, number);
        number
    }

    /// The set of one key.
    pub(super) fn single(&mut self, key: u32) -> Set {
        self.number([key].into())
    }

    /// The keys of a set, in order.
    pub(super) fn keys(&self, set: Set) -> &[u32] {
        &self.members[set as usize]
    }

    /// Whether a key is in a set.
    pub(super) fn has(&self, set: Set, key: u32) -> bool {
        self.keys(set).binary_search(&key).is_ok()
    }

    /// Both together.
    pub(super) fn union(&mut self, a: Set, b: Set) -> Set {
        let (a, b) = (a.min(b), a.max(b));
        if a == 0 || a == b {
            return b;
        }
        if let Some(known) = self.unions.get(&(a, b)) {
            return *known;
        }
        let mut members = [self.keys(a), self.keys(b)].concat();
        members.sort_unstable();
        members.dedup();
        let number = self.number(members.into());
        self.unions.insert((a, b), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_are_stored_once() {
        let mut sets = Sets::default();
        let (a, b) = (sets.single(3), sets.single(1));
        let both = sets.union(a, b);
        assert_eq!(sets.keys(both), [1, 3]);
        assert_eq!(sets.union(b, a), both);
        assert_eq!(sets.union(both, a), both);
        assert_eq!(sets.union(0, a), a);
        assert!(sets.has(both, 3) && !sets.has(both, 2));
    }
}
