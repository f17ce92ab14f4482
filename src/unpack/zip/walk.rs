//! Members found by their own headers, one after the other: where there is no directory, or none
//! that mentions them, and in streams.

use std::io::{self, BufRead, Read};

use super::content::Content;
use super::header::{Entry, LOCAL, local};
use super::{first, in_words, texts};
use crate::coverage::Unread;
use crate::unpack::part::Checked;
use crate::unpack::{Body, Damage, Members, Step, Window};

/// A header with the longest name and extra field that are looked at.
const HEADER: usize = LOCAL + (16 << 10);

/// Hands out the members from here on, and all between them as it is; `base` is where the window
/// begins in the zip.
pub(super) fn walk(
    window: &mut Window<'_>,
    base: u64,
    out: &mut dyn Members,
) -> Result<(), Damage> {
    loop {
        match local(window.peek(HEADER)?) {
            Some(entry) => member(&entry, window, out)?,
            None => {
                let at = base + window.at();
                let mut between = Between {
                    window: &mut *window,
                    done: false,
                };
                if between.fill_buf()?.is_empty() {
                    return Ok(());
                }
                out.raw(at, &mut between)?;
                // Whatever was not wanted of it.
                io::copy(&mut between, &mut io::sink())?;
            }
        }
    }
}

fn member(entry: &Entry, window: &mut Window<'_>, out: &mut dyn Members) -> Result<(), Damage> {
    texts(entry, out);
    let step = || Step::file(entry.utf8_name());
    window.skip(entry.at)?;
    let open_end = entry.is_described_behind() && entry.packed == 0;
    if entry.is_encrypted() {
        out.unread(step(), Unread::Encrypted);
        if !open_end {
            window.skip(entry.packed)?;
        }
        return Ok(());
    }
    if open_end && entry.method == 0 {
        // Nothing says where it ends but what comes next.
        let mut between = Between {
            window,
            done: false,
        };
        out.member(step(), Body::Stream(&mut between, None))?;
        io::copy(&mut between, &mut io::sink())?;
        return Ok(());
    }
    let start = window.at();
    let (sum, size) = match entry.is_described_behind() {
        true => (None, None),
        false => (Some(entry.sum), Some(entry.size)),
    };
    let head = first(window)?;
    // A decompressor must not go on into the next member.
    let limit = if open_end { u64::MAX } else { entry.packed };
    match Content::open(entry, &head, (&mut *window).take(limit), out) {
        Ok(content) => {
            let mut content = Checked::new(content, sum, size);
            out.member(step(), Body::Stream(&mut content, size))?;
            if open_end {
                // Only its decompressor knows where it ends.
                let _ = io::copy(&mut content, &mut io::sink());
            }
        }
        Err(why) => out.unread(step(), why),
    }
    if !open_end {
        let used = window.at() - start;
        let left = entry.packed.saturating_sub(used);
        if window.skip(left)? < left {
            let error = io::Error::other("the archive ends in the middle of it");
            out.unread(step(), in_words(&error));
        }
    } else if window.peek(24)?.starts_with(b"PK\x07\x08") {
        // The sizes, of four bytes or eight: the next record shows which.
        let next = window.peek(24)?;
        let wide = next.get(16..18) != Some(b"PK") && next.len() >= 24;
        window.skip(if wide { 24 } else { 16 })?;
    }
    Ok(())
}

/// What stands before the next header that makes sense.
struct Between<'w, 'a> {
    window: &'w mut Window<'a>,
    done: bool,
}

impl Between<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.done {
            return Ok(&[]);
        }
        let bytes = self.window.peek(HEADER)?;
        let most = match memchr::memmem::find(bytes, b"PK\x03\x04") {
            // One that could be cut is seen whole when it comes first.
            Some(0) if local(bytes).is_some() => {
                self.done = true;
                0
            }
            Some(0) => 1,
            Some(at) => at,
            None if bytes.len() < HEADER => bytes.len(),
            None => bytes.len() - 3,
        };
        Ok(&self.window.fill_buf()?[..most])
    }
}

impl Read for Between<'_, '_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.window.consume(read);
        Ok(read)
    }
}
