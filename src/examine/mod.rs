//! One blob, whatever it is: drives the matcher over it in bounded memory, and makes of each hit a
//! place with its line and a context that may be shown.

mod container;
mod examiner;
mod follower;
mod held;
mod inside;
mod limits;
mod packed;
mod redactor;
mod segments;
mod slider;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

pub use self::examiner::Examiner;
pub use self::follower::Follower;
pub use self::inside::UnreadMember;
pub use self::limits::{DEEPEST, Limits, MEMORY, Unpacking};
pub(crate) use self::packed::is_packed;
pub use self::redactor::{Redactor, Release};
use self::slider::Slider;
use crate::coverage::Tally;
use crate::finding::{Context, Member};
use crate::matcher::{Hit, Matcher};

/// A key and where it stands in its blob.
pub struct Found {
    /// What the matcher said.
    pub hit: Hit,
    /// The way in, if it is in a member of a container: the rest is about the innermost one.
    pub members: Vec<Member>,
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

/// How many bytes of context a report shows at the most.
const CONTEXT_WIDTH: usize = 160;

/// How far around a key its line is taken: enough to see whole whatever may have to be masked.
const LINE_WITHIN: usize = 2048;

/// Searches bytes that are all at hand. Nothing is unpacked, see [`Examiner`].
pub fn bytes(matcher: &Matcher, bytes: &[u8], found: &mut dyn FnMut(Found)) {
    slider::search_whole(matcher, bytes, found);
}

/// What an examination read.
#[derive(Debug)]
pub struct Seen {
    /// How many bytes.
    pub bytes: u64,
    /// Whether they are a compressed archive or file, of which only the outside was searched.
    pub packed: bool,
    /// Members of containers, and bytes of them.
    pub members: Tally,
    /// Layers of images that were read before in this run, and not again.
    pub seen_before: Tally,
    /// Members that could not be read, and parts of them.
    pub unread: Vec<UnreadMember>,
    /// What went wrong, after all that came before was searched.
    pub result: io::Result<()>,
}

impl Seen {
    /// Bytes that are no container.
    fn plain(bytes: u64, packed: bool, result: io::Result<()>) -> Self {
        Self {
            bytes,
            packed,
            members: Tally::default(),
            seen_before: Tally::default(),
            unread: Vec::new(),
            result,
        }
    }
}

/// Searches a stream in bounded memory, however long it or its lines are; what is found is handed
/// on as soon as it is certain. `go_on` is asked between blocks. Nothing is unpacked, see
/// [`Examiner`].
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
    Seen::plain(slider.finish(found), packed, result)
}

/// Reads and searches to the end.
fn slide(
    slider: &mut Slider<'_>,
    reader: &mut (impl Read + ?Sized),
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
            members: Vec::new(),
            offset,
            line,
            column,
            context,
            raw_line: around.to_vec(),
        }
    }
}
