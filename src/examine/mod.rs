//! One blob, whatever it is: drives the matcher over it in bounded memory, and makes of each hit a
//! place with its line and a context that may be shown.

mod follower;
mod packed;
mod redactor;
mod segments;
mod slider;

use std::fs::File;
use std::io::{self, Read};

pub use self::follower::Follower;
pub(crate) use self::packed::{HEAD, is_packed};
pub use self::redactor::{Redactor, Release};
use self::slider::Slider;
use crate::finding::Context;
use crate::matcher::{Hit, Matcher};

/// A key and where it stands in its blob.
pub struct Found {
    /// What the matcher said.
    pub hit: Hit,
    /// Where it begins, in bytes from the blob's start.
    pub offset: u64,
    /// Line, from 1.
    pub line: u64,
    /// Column in bytes, from 1.
    pub column: u64,
    /// The line around it, masked.
    pub context: Context,
    /// The line around it as it is, as far as it was at hand: for markers, never for showing.
    pub raw_line: Vec<u8>,
}

/// Memory that one thread uses again and again.
#[derive(Default)]
pub struct Buffers {
    bytes: Vec<u8>,
    hits: Vec<Hit>,
}

/// A first read of so many bytes may have more behind it than fits.
const ASKED_FROM: usize = 64 << 10;

/// Files of this size and more are worth cutting up.
const LARGE: u64 = 8 << 20;

/// How many bytes of context a report shows at the most.
const CONTEXT_WIDTH: usize = 160;

/// How far around a key its line is taken: enough to see whole whatever may have to be masked.
const LINE_WITHIN: usize = 2048;

/// Searches bytes that are all at hand.
pub fn bytes(matcher: &Matcher, bytes: &[u8], found: &mut dyn FnMut(Found)) {
    slider::search_whole(matcher, bytes, found);
}

/// What an examination read.
pub struct Seen {
    /// How many bytes.
    pub bytes: u64,
    /// Whether they are a compressed archive or file, of which only the outside was searched.
    pub packed: bool,
    /// What went wrong, after all that came before was searched.
    pub result: io::Result<()>,
}

/// Searches a stream in bounded memory, however long it or its lines are; what is found is handed
/// on as soon as it is certain. `go_on` is asked between blocks.
pub fn stream(
    matcher: &Matcher,
    mut reader: impl Read,
    buffers: &mut Buffers,
    go_on: &dyn Fn() -> bool,
    found: &mut dyn FnMut(Found),
) -> Seen {
    let mut slider = Slider::new(matcher, buffers);
    let result = slide(&mut slider, &mut reader, go_on, found);
    let packed = slider.is_packed();
    Seen {
        bytes: slider.finish(found),
        packed,
        result,
    }
}

/// Reads and searches to the end.
fn slide(
    slider: &mut Slider<'_>,
    reader: &mut impl Read,
    go_on: &dyn Fn() -> bool,
    found: &mut dyn FnMut(Found),
) -> io::Result<()> {
    while go_on() {
        match slider.fill(reader) {
            Ok(0) => break,
            Ok(_) => slider.search(found),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Searches an open file: in one go, or, if it is large, in segments on all cores. A file that
/// shrank meanwhile is an error, since what it held is gone unread.
pub fn file(
    matcher: &Matcher,
    file: &File,
    buffers: &mut Buffers,
    go_on: &(dyn Fn() -> bool + Sync),
    found: &mut dyn FnMut(Found),
) -> Seen {
    let mut slider = Slider::new(matcher, buffers);
    let mut reader = file;
    let first = slider.fill(&mut reader);
    // Most files are read whole at once, and nobody need ask how large they are.
    let size = match &first {
        Ok(read) if *read >= ASKED_FROM => match file.metadata() {
            Ok(about) if about.is_file() => about.len(),
            Ok(_) => 0,
            Err(error) => {
                return Seen {
                    bytes: 0,
                    packed: false,
                    result: Err(error),
                };
            }
        },
        _ => 0,
    };
    let mut seen = if size >= LARGE {
        segments::large_file(matcher, file, size, go_on, found)
    } else {
        let result = match first {
            Ok(0) => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => {
                slider.search(found);
                slide(&mut slider, &mut reader, go_on, found)
            }
        };
        let packed = slider.is_packed();
        Seen {
            bytes: slider.finish(found),
            packed,
            result,
        }
    };
    if seen.result.is_ok() && seen.bytes < size && go_on() {
        seen.result = Err(io::Error::other("it shrank while it was read"));
    }
    seen
}

impl Found {
    /// `around` is the line or a part of it, `key` the hit's place in it.
    fn new(
        matcher: &Matcher,
        hit: Hit,
        offset: u64,
        (line, column): (i64, Option<u64>),
        around: &[u8],
        key: std::ops::Range<usize>,
    ) -> Self {
        let redacted = matcher.redact_line(around, key, CONTEXT_WIDTH);
        let context = Context {
            line: redacted.text,
            key: redacted.key,
        };
        // Segments count from their own start; `segments` turns both into places in the file.
        let (line, column) = (line as u64, column.unwrap_or(0));
        Self {
            hit,
            offset,
            line,
            column,
            context,
            raw_line: around.to_vec(),
        }
    }
}
