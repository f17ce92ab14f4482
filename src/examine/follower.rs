//! A file that grows: what was read of it is kept as far as a key may go on, and what is added is
//! searched as it comes.

use std::fs::File;
use std::io;

use super::slider::Slider;
use super::{Buffers, Found};
use crate::matcher::Matcher;

/// A file being followed from its start.
pub struct Follower<'a> {
    slider: Slider<'a>,
}

/// How many bytes before the end are compared, to see whether the file is still the same one.
const COMPARED: usize = 64;

impl<'a> Follower<'a> {
    /// One that has read nothing.
    pub fn new(matcher: &'a Matcher, buffers: &'a mut Buffers) -> Self {
        Self {
            slider: Slider::new(matcher, buffers),
        }
    }

    /// How much of the file was read.
    pub fn read_so_far(&self) -> u64 {
        self.slider.end()
    }

    /// Begins again, with another file or another content.
    pub fn restart(&mut self) {
        self.slider.restart();
    }

    /// Reads what was added, once, and searches it. 0 means that nothing was.
    ///
    /// # Errors
    /// As the file says.
    pub fn read(&mut self, mut file: &File, found: &mut dyn FnMut(Found)) -> io::Result<usize> {
        let read = self.slider.fill(&mut file)?;
        if read > 0 {
            self.slider.search(found);
        }
        Ok(read)
    }

    /// Searches what waits for more as if nothing came. What is found is not found again.
    pub fn settle(&mut self, found: &mut dyn FnMut(Found)) {
        self.slider.search_so_far(found);
    }

    /// Whether a line ends where reading ended.
    pub fn at_line_end(&self) -> bool {
        self.slider.tail(1).last().is_none_or(|b| *b == b'\n')
    }

    /// Whether the file does not begin with what was read of it: it was truncated, or emptied and
    /// filled again.
    pub fn is_other(&self, file: &File) -> bool {
        let read = self.read_so_far();
        if file.metadata().is_ok_and(|about| about.len() < read) {
            return true;
        }
        let tail = self.slider.tail(COMPARED);
        let mut there = [0; COMPARED];
        let there = &mut there[..tail.len()];
        let before = super::segments::read_at(file, there, read - tail.len() as u64);
        // What can't be read now is no other content.
        before.is_ok_and(|count| count == tail.len()) && there != tail
    }
}
