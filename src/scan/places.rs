//! The places where keys settle on this machine.

use std::path::PathBuf;

use super::{Scan, lock};
use crate::rules::Place;
use crate::source::places::Bases;
use crate::source::tree::Visitor;

impl Scan<'_> {
    /// Searches what is there of these places. A place of which nothing is there is counted as
    /// absent.
    pub fn places(&self, places: &[Place], bases: &Bases<'_>) {
        let mut all: Vec<PathBuf> = Vec::new();
        let mut absent = 0;
        for place in places {
            let there = bases.find(place);
            absent += u64::from(there.paths.is_empty() && there.failures.is_empty());
            for (path, error) in &there.failures {
                self.failed(path, error);
            }
            all.extend(there.paths);
        }
        if absent > 0 {
            let mut coverage = lock(&self.coverage);
            *coverage
                .absent
                .entry("of the places where keys settle")
                .or_default() += absent;
        }
        // Places may overlap.
        all.sort();
        all.dedup_by(|path, before| path.starts_with(before));
        self.paths(all.iter());
    }
}
