//! In which order the literals go into the packed search.
//!
//! That search (Teddy) tests the first four bytes of 32 places at once against eight buckets of
//! literals, looking at the two halves of each byte separately: a bucket lets through whatever has
//! a high half *and* a low half that any of its literals has at that place. Literals that look
//! alike should therefore share a bucket. The search puts the literal of index `i` into bucket
//! `i % 8`, so the order decides; dealing fifty literals out at random makes it ten times slower.

use std::collections::BTreeSet;

/// How many buckets there are.
const BUCKETS: usize = 8;

/// How many bytes of a literal the search looks at.
const TESTED: usize = 4;

/// The search takes so many literals and no more, those that fill rows among them.
const MOST_ROWS: usize = 128 / BUCKETS;

/// How often bytes occur, in parts of all bytes: for each high half, and each set of low halves
/// below 8 and each from 8 on, how often one of the set stands with it.
type Frequencies = [[[f32; 256]; 2]; 16];

/// A guess at what is searched most: programs, logs and their numbers. Only ratios matter.
fn frequencies() -> Frequencies {
    let mut weights = [0.0002f32; 256];
    let letters = b" etaoinsrhldcumfpgwybvkxjqz";
    let shares = [
        13.0, 9.0, 7.0, 6.0, 6.0, 5.5, 5.5, 5.0, 5.0, 4.0, 3.5, 3.0, 2.5, 2.5, 2.0, 2.0, 2.0, 1.5,
        1.5, 1.5, 1.0, 0.8, 0.6, 0.3, 0.2, 0.2, 0.2,
    ];
    for (letter, share) in letters.iter().zip(shares) {
        weights[usize::from(*letter)] = share;
    }
    weights[usize::from(b'0')..=usize::from(b'9')].fill(1.5);
    weights[usize::from(b'A')..=usize::from(b'Z')].fill(0.5);
    for mark in b"_-.,:;\"'/()=\n\t<>{}[]*&#%\\+" {
        weights[usize::from(*mark)] = 0.8;
    }
    weights[0] = 2.0;
    let total: f32 = weights.iter().sum();
    let mut frequencies = [[[0.0; 256]; 2]; 16];
    for (n, sums) in frequencies.iter_mut().flatten().enumerate() {
        for set in 1..sums.len() {
            let first = set.trailing_zeros() as usize;
            sums[set] = sums[set & (set - 1)] + weights[8 * n + first] / total;
        }
    }
    frequencies
}

/// What a bucket lets through.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// For each tested byte, a bit for each low and each high half.
    halves: [(u16, u16); TESTED],
    literals: usize,
}

impl Bucket {
    fn add(&mut self, literal: &[u8]) {
        for (halves, byte) in self.halves.iter_mut().zip(literal) {
            halves.0 |= 1 << (byte & 15);
            halves.1 |= 1 << (byte >> 4);
        }
        self.literals += 1;
    }

    fn with(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.halves.iter_mut().zip(other.halves) {
            mine.0 |= theirs.0;
            mine.1 |= theirs.1;
        }
        self.literals += other.literals;
        self
    }

    /// Which share of all places it stops the search at.
    fn cost(&self, frequencies: &Frequencies) -> f32 {
        self.cost_behind(0, frequencies)
    }

    /// How often it stops the search at the first places of a text: there the search behaves as if
    /// something had stood before that passes for the first bytes of any literal.
    fn at_starts(&self, frequencies: &Frequencies) -> f32 {
        (1..TESTED).map(|n| self.cost_behind(n, frequencies)).sum()
    }

    /// Which share of all places it stops the search at when only the bytes from `first` on are
    /// tested.
    fn cost_behind(&self, first: usize, frequencies: &Frequencies) -> f32 {
        if self.literals == 0 {
            return 0.0;
        }
        let bits = |set: u16| (0..16usize).filter(move |n| set >> n & 1 == 1);
        self.halves[first..]
            .iter()
            // A literal shorter than this says nothing about the rest.
            .filter(|(low, _)| *low != 0)
            .map(|(low, high)| -> f32 {
                let [below, from] = low.to_le_bytes().map(usize::from);
                bits(*high)
                    .map(|h| frequencies[h][0][below] + frequencies[h][1][from])
                    .sum()
            })
            .product()
    }
}

/// The indexes of the literals in the order in which the search should get them: each to the
/// bucket where it does least harm, then moves as long as they help. One comes more than once, to
/// fill rows: see [`rows`]. The same literals always end up alike.
pub(super) fn order(literals: &[Vec<u8>]) -> Vec<usize> {
    let frequencies = frequencies();
    let units = units(literals);
    let alone: Vec<Bucket> = units
        .iter()
        .map(|unit| {
            let mut bucket = Bucket::default();
            unit.iter().for_each(|l| bucket.add(&literals[*l]));
            bucket
        })
        .collect();
    let all = |members: &[usize]| {
        let empty = Bucket::default();
        members.iter().fold(empty, |sum, u| sum.with(&alone[*u]))
    };
    let best = |buckets: &[Vec<usize>], unit: usize| {
        let harm = |bucket: &Vec<usize>| {
            let before = all(bucket);
            let after = before.with(&alone[unit]);
            let harm = after.cost(&frequencies) - before.cost(&frequencies);
            (after.literals > MOST_ROWS, harm)
        };
        let harms = buckets.iter().map(harm).enumerate();
        let least = harms.min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        least.expect("there are buckets").0
    };
    let mut buckets: Vec<Vec<usize>> = vec![Vec::new(); BUCKETS];
    // What stops the search most often chooses first.
    let costs: Vec<f32> = alone.iter().map(|unit| unit.cost(&frequencies)).collect();
    let mut waiting: Vec<usize> = (0..units.len()).collect();
    waiting.sort_by(|a, b| costs[*b].total_cmp(&costs[*a]));
    for unit in &waiting {
        let bucket = best(&buckets, *unit);
        buckets[bucket].push(*unit);
    }
    for _ in 0..ROUNDS {
        for unit in &waiting {
            buckets
                .iter_mut()
                .for_each(|bucket| bucket.retain(|u| u != unit));
            let bucket = best(&buckets, *unit);
            buckets[bucket].push(*unit);
        }
    }
    let members = |bucket: &Vec<usize>| bucket.iter().flat_map(|u| units[*u].clone()).collect();
    let lists: Vec<Vec<usize>> = buckets.iter().map(members).collect();
    let starts = |bucket: &&Vec<usize>| all(bucket).at_starts(&frequencies);
    let quiet = buckets.iter().filter(|bucket| !bucket.is_empty());
    let quiet = quiet.min_by(|a, b| starts(a).total_cmp(&starts(b)));
    let filler = quiet.map_or(0, |bucket| units[bucket[0]][0]);
    rows(literals, lists, filler)
}

/// Deals the lists out, one to each bucket. A literal whose low halves were seen before goes to where
/// that one is, wherever it stands: such ones fill the rows, and where there are none `filler` does.
fn rows(literals: &[Vec<u8>], lists: Vec<Vec<usize>>, filler: usize) -> Vec<usize> {
    let tested = literals.iter().map(Vec::len).min().unwrap_or(0);
    let low = |literal: usize| -> Vec<u8> {
        let tested = literals[literal].iter().take(tested.min(TESTED));
        tested.map(|byte| byte & 15).collect()
    };
    let mut known = BTreeSet::new();
    let mut is_first = |literal: &usize| known.insert(low(*literal));
    let (mut firsts, mut others) = (Vec::new(), Vec::new());
    for list in lists {
        let (first, other): (Vec<_>, Vec<_>) = list.into_iter().partition(&mut is_first);
        firsts.push(first);
        others.extend(other);
    }
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    for row in 0..firsts.iter().map(Vec::len).max().unwrap_or(0) {
        for list in &firsts {
            let next = list.get(row).copied().unwrap_or_else(|| {
                let seen = others.iter().position(|other| seen.contains(&low(*other)));
                seen.map_or(filler, |at| others.remove(at))
            });
            seen.insert(low(next));
            order.push(next);
        }
    }
    order.extend(others);
    order
}

/// How often every literal may move.
const ROUNDS: usize = 2;

/// Literals that begin alike stay together.
fn units(literals: &[Vec<u8>]) -> Vec<Vec<usize>> {
    let mut units: Vec<Vec<usize>> = Vec::new();
    for (n, literal) in literals.iter().enumerate() {
        let alike = |unit: &&mut Vec<usize>| literals[unit[0]].get(..3) == literal.get(..3);
        match units.iter_mut().find(alike) {
            Some(unit) => unit.push(n),
            None => units.push(vec![n]),
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_has_its_place_and_likes_share_a_bucket() {
        let literals: Vec<Vec<u8>> = (0..21)
            .map(|n| match n % 3 {
                0 => format!("abc{}", n % 10).into_bytes(),
                1 => format!("0x5{}", n % 10).into_bytes(),
                _ => format!("QZX{}", n % 10).into_bytes(),
            })
            .collect();
        let order = order(&literals);
        let seen: std::collections::BTreeSet<usize> = order.iter().copied().collect();
        assert_eq!(seen, (0..21).collect());
        for bucket in 0..BUCKETS {
            let kinds = order
                .iter()
                .skip(bucket)
                .step_by(BUCKETS)
                .map(|n| literals[*n][0]);
            let kinds: std::collections::BTreeSet<u8> = kinds.collect();
            assert_eq!(kinds.len(), 1, "{kinds:?}");
        }
    }

    #[test]
    fn no_bucket_is_fuller_than_the_search_allows() {
        // All alike in what they stop at, so that they would all go into one bucket.
        let literals: Vec<Vec<u8>> = (0..64u8)
            .map(|n| vec![b'a' + n % 8, b'a' + n / 8, b'x', b'y'])
            .collect();
        assert!(order(&literals).len() <= BUCKETS * MOST_ROWS);
    }

    #[test]
    fn any_number_of_literals_has_an_order() {
        for n in 0..4 {
            let literals: Vec<Vec<u8>> = (0..n).map(|n| vec![b'a' + n; 3]).collect();
            assert!((0..usize::from(n)).all(|l| order(&literals).contains(&l)));
        }
    }
}
