//! A large file on all cores: segments of it are searched at once, each looking a little over its
//! borders, and their line counts are added up afterwards.

use std::fs::File;
use std::io::{self, Read};

use rayon::prelude::*;

use super::slider::{Lines, Slider};
use super::{Buffers, Found, Seen};
use crate::matcher::{Matcher, REACH};

/// How much one segment covers.
const SEGMENT: u64 = 4 << 20;

/// How many segments are searched before their findings are handed on: bounds what waits.
const ROUND: u64 = 64;

/// Searches a file of known size on all cores. Fewer bytes than `size` are read if it shrank
/// meanwhile; what was appended is read as well.
pub(super) fn large_file(
    matcher: &Matcher,
    file: &File,
    size: u64,
    go_on: &(dyn Fn() -> bool + Sync),
    found: &mut dyn FnMut(Found),
) -> Seen {
    let mut lines = Lines::FIRST;
    let mut all = Seen::plain(0, false, Ok(()));
    let count = size.div_ceil(SEGMENT);
    for round in (0..count).step_by(ROUND as usize) {
        let segments: Vec<Segment> = (round..count.min(round + ROUND))
            .into_par_iter()
            .map_init(Buffers::default, |buffers, n| {
                // The last one goes on over what is appended meanwhile.
                let end = if n + 1 == count {
                    u64::MAX
                } else {
                    (n + 1) * SEGMENT
                };
                segment(matcher, file, n * SEGMENT, end, go_on, buffers)
            })
            .collect();
        for segment in segments {
            for mut one in segment.found {
                if one.column == 0 {
                    one.column = one.offset - lines.start.unwrap_or(0).min(one.offset) + 1;
                }
                one.line = one.line.wrapping_add_signed(lines.before);
                found(one);
            }
            lines.before += segment.lines.before;
            lines.start = segment.lines.start.or(lines.start);
            all.bytes += segment.read;
            all.packed |= segment.packed;
            all.result = segment.result;
            if all.result.is_err() {
                return all;
            }
        }
        if !go_on() {
            break;
        }
    }
    all
}

struct Segment {
    found: Vec<Found>,
    lines: Lines,
    read: u64,
    packed: bool,
    result: io::Result<()>,
}

fn segment(
    matcher: &Matcher,
    file: &File,
    start: u64,
    end: u64,
    go_on: &(dyn Fn() -> bool + Sync),
    buffers: &mut Buffers,
) -> Segment {
    let mut found = Vec::new();
    let mut behind = vec![0; start.min(REACH as u64) as usize];
    let mut before = At {
        file,
        offset: start - behind.len() as u64,
        end: start,
    };
    if let Err(error) = before.read_exact(&mut behind) {
        // The file shrank to less than where this segment begins.
        let result = if error.kind() == io::ErrorKind::UnexpectedEof {
            Ok(())
        } else {
            Err(error)
        };
        return Segment {
            found,
            lines: Lines {
                before: 0,
                start: None,
            },
            read: 0,
            packed: false,
            result,
        };
    }
    let mut slider = Slider::resume(matcher, buffers, start, &behind);
    // The segment's own bytes, and as much behind them as its last key may need.
    let mut at = At {
        file,
        offset: start,
        end: end.saturating_add(REACH as u64),
    };
    let result = loop {
        if !go_on() {
            break Ok(());
        }
        match slider.fill(&mut at) {
            Ok(0) => break Ok(()),
            Ok(_) => slider.search_before(end, false, &mut |one| found.push(one)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    // Whatever stands within reach of the segment's last anchor has been read, or the file ends.
    slider.search_before(end, true, &mut |one| found.push(one));
    Segment {
        found,
        read: slider.end().min(end) - start,
        packed: slider.is_packed(),
        lines: slider.into_lines(end),
        result,
    }
}

/// Reads at an offset. (On Windows the file's own place moves along.)
pub(super) fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, to, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, to, offset);
}

/// Reads a file at a place of its own, so that threads can share it.
struct At<'a> {
    file: &'a File,
    offset: u64,
    end: u64,
}

impl Read for At<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = (self.end - self.offset).min(to.len() as u64) as usize;
        let to = &mut to[..most];
        let read = read_at(self.file, to, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::rules::Template;

    #[test]
    fn segments_find_the_same_places_as_one_stream() {
        // Keys across the borders of segments, and lines from short to longer than a segment.
        let template = Template::parse("sk-proj-{long:74,74}").unwrap();
        let mut blob = Vec::new();
        for (n, unit) in [
            &b"short lines\n"[..],
            b"a line without an end ",
            b"lines again\n",
        ]
        .iter()
        .enumerate()
        {
            for k in 0..3u64 {
                let border = (blob.len() as u64 / SEGMENT + 1) * SEGMENT;
                let gap = border - blob.len() as u64 - [10, 90, 160][k as usize];
                blob.extend(unit.iter().copied().cycle().take(gap as usize));
                blob.push(b' ');
                blob.extend_from_slice(template.fill(n as u64 * 10 + k).key.as_bytes());
                blob.push(b' ');
            }
        }
        let matcher = Matcher::shared();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&blob).unwrap();
        let mut seen = Vec::new();
        let about = large_file(matcher, &file, blob.len() as u64, &|| true, &mut |f| {
            seen.push((f.offset, f.line, f.column, f.hit.fingerprint));
        });
        about.result.unwrap();
        assert_eq!(about.bytes, blob.len() as u64);
        let mut whole = Vec::new();
        super::super::bytes(matcher, &blob, &mut |f| {
            whole.push((f.offset, f.line, f.column, f.hit.fingerprint))
        });
        assert_eq!(whole.len(), 9);
        assert_eq!(seen, whole);
    }

    #[test]
    fn a_file_that_is_shorter_than_it_was_ends_where_it_ends() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; 3 * SEGMENT as usize / 2])
            .unwrap();
        let matcher = Matcher::shared();
        let about = large_file(matcher, &file, 5 * SEGMENT, &|| true, &mut |_| {});
        about.result.unwrap();
        assert_eq!(about.bytes, 3 * SEGMENT / 2);
    }
}
