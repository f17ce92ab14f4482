//! Audits of the tests: what one asks for, and nothing else.

use std::sync::atomic::AtomicBool;

use super::forest::Forest;
use super::marks::Results;
use super::pack::Pack;
use super::search::Search;
use super::walk::walk;
use super::{Chosen, History, Layout, Memory, Outcome, Progress};
use crate::config::Globs;
use crate::examine::Unpacking;
use crate::matcher::Matcher;
use crate::suppress::Suppressor;

pub(super) struct Ask<'a> {
    pub(super) matcher: &'a Matcher,
    pub(super) memory: Option<&'a Memory>,
    pub(super) chosen: Option<&'a Chosen>,
    pub(super) require_complete: bool,
    /// Somebody wants it to end before it has begun.
    pub(super) stop: bool,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            matcher: Matcher::shared(),
            memory: None,
            chosen: None,
            require_complete: false,
            stop: false,
        }
    }
}

impl Ask<'_> {
    /// What an audit tells.
    pub(super) fn of(self, layout: &Layout) -> Outcome {
        let history = History {
            matcher: self.matcher,
            suppress: &Suppressor::default(),
            accept: &Globs::default(),
            unpacking: &Unpacking::default(),
            memory: self.memory,
            purge: false,
            chosen: self.chosen,
            require_complete: self.require_complete,
            threads: 2,
            progress: &Progress::default(),
            stop: &AtomicBool::new(self.stop),
        };
        history.search(layout)
    }
}

/// What the threads of a search of one pack tell.
pub(super) fn walked(pack: &Pack, matcher: &Matcher, threads: usize) -> Vec<Results> {
    let (unpacking, progress) = (Unpacking::default(), Progress::default());
    let stop = AtomicBool::new(false);
    let search = Search::new(matcher, &unpacking, &progress, &stop);
    let forest = Forest::plant(pack);
    let roots = forest.roots(None);
    walk(pack, &forest, &roots, &search, &|_| None, threads, &stop)
}
