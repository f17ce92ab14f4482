//! Base64 and base64url, unpadded or padded, wrapped at any column.
//!
//! A byte's place in its group of three decides what it becomes, so the marker has three faces.
//! Two cores are taken of each: a line break can fall into one of them only. Which core it was
//! tells how the groups lie, whatever stands further to the left.

use std::ops::Range;

use super::{Decoded, Decoder, Trace};

pub(in crate::matcher) struct Base64;

/// How many characters are decoded before the trace: a long key in base64 of base64 of UTF-16 has
/// 1,190.
const MOST_BEFORE: usize = 1400;

/// And behind it: as many again, so that not every trace in a long text is decoded for itself.
const MOST_BEHIND: usize = 2 * MOST_BEFORE;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The characters that `bytes` alone decide when `phase` (0, 1, 2) other bytes of their group come
/// first, and how far into a group of four the first of them stands.
fn face(bytes: &[u8], phase: usize) -> (Vec<u8>, usize) {
    let bit = |n: usize| {
        let byte = n / 8;
        (byte >= phase)
            .then(|| bytes.get(byte - phase))
            .flatten()
            .map(|b| b >> (7 - n % 8) & 1)
    };
    let bits = (bytes.len() + phase) * 8;
    let whole = |c: usize| (c * 6..c * 6 + 6).map(bit).collect::<Option<Vec<u8>>>();
    let known: Vec<(usize, Vec<u8>)> = (0..bits / 6).filter_map(|c| Some((c, whole(c)?))).collect();
    let text = known
        .iter()
        .map(|(_, six)| ALPHABET[six.iter().fold(0, |v, b| v << 1 | usize::from(*b))]);
    (text.collect(), known[0].0 % 4)
}

/// What a byte stands for; [`NOTHING`] if it is no digit.
static VALUES: [u8; 256] = {
    let mut values = [NOTHING; 256];
    let mut n = 0;
    while n < 64 {
        values[ALPHABET[n] as usize] = n as u8;
        n += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

const NOTHING: u8 = u8::MAX;

fn value(c: u8) -> Option<u8> {
    let value = VALUES[usize::from(c)];
    (value != NOTHING).then_some(value)
}

/// How many bytes of a line break stand at `at`, in plain or as an escape, with the indentation
/// behind it; 0 if none does.
fn break_after(window: &[u8], at: usize) -> usize {
    let rest = &window[at..];
    let mut n = 0;
    while let Some(more) = match &rest[n..] {
        [b'\r' | b'\n', ..] => Some(1),
        [b'\\', b'r' | b'n', ..] => Some(2),
        [b' ' | b'\t', ..] if n > 0 && n < 64 => Some(1),
        _ => None,
    } {
        n += more;
    }
    n
}

/// The same, for a break that ends at `at`.
fn break_before(window: &[u8], at: usize) -> usize {
    let indent = window[..at]
        .iter()
        .rev()
        .take(64)
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let mut n = indent;
    while let Some(more) = match &window[..at - n] {
        [.., b'\r' | b'\n'] => Some(1),
        [.., b'\\', b'r' | b'n'] => Some(2),
        _ => None,
    } {
        n += more;
    }
    if n > indent { n } else { 0 }
}

/// Whether the letter before `at` is that of an escaped break.
fn is_escaped(window: &[u8], at: usize) -> bool {
    matches!(window[..at], [.., b'\\', b'r' | b'n'])
}

impl Decoder for Base64 {
    fn name(&self) -> &'static str {
        "base64"
    }

    fn traces(&self, marker: &[u8]) -> Vec<Trace> {
        let wide: Vec<u8> = marker.iter().flat_map(|b| [*b, 0]).collect();
        let mut traces = Vec::new();
        for phase in 0..3 {
            let (once, offset) = face(marker, phase);
            let middle = once.len() / 2;
            traces.push(Trace {
                literal: once[..middle].to_vec(),
                offset,
            });
            traces.push(Trace {
                literal: once[middle..].to_vec(),
                offset: (offset + middle) % 4,
            });
            // Twice: what the first round is certain of, in a second one. The core is taken from
            // the middle, where no other face's core can stand.
            for again in 0..3 {
                let (twice, offset) = face(&once, again);
                let from = (twice.len() - 6) / 2;
                traces.push(Trace {
                    literal: twice[from..from + 6].to_vec(),
                    offset: (offset + from) % 4,
                });
            }
            let (utf16, offset) = face(&wide, phase);
            traces.push(Trace {
                literal: utf16[..8].to_vec(),
                offset,
            });
        }
        traces
    }

    fn decode(&self, window: &[u8], at: usize, offset: usize) -> Decoded {
        // The characters around the trace, without the breaks between them.
        let mut left: Vec<(u8, u32)> = Vec::with_capacity(MOST_BEFORE + MOST_BEHIND);
        let mut start = at;
        while left.len() < MOST_BEFORE {
            match start.checked_sub(1).and_then(|p| value(window[p])) {
                // The letter of an escaped break belongs to the break.
                Some(_) if is_escaped(window, start) => start -= break_before(window, start),
                Some(v) => {
                    start -= 1;
                    left.push((v, start as u32));
                }
                None => match break_before(window, start) {
                    0 => break,
                    n => start -= n,
                },
            }
        }
        // Whole groups only, as the trace lies in them.
        let keep = left.len().saturating_sub((left.len() + 4 - offset) % 4);
        left.truncate(keep);
        left.reverse();
        let (behind, end) = digits(window, at, MOST_BEHIND);
        let whole = behind.len() < MOST_BEHIND;
        let mut all = left;
        all.extend(behind);
        let (bytes, from) = bytes(&all);
        Decoded {
            bytes,
            from,
            looked: start.saturating_sub(66)..end + 66,
            ended: whole && end + 66 < window.len(),
            goes_on: !whole && end < window.len(),
            then: None,
        }
    }

    fn reads_alike(&self, from: &[Range<u32>], at: usize, offset: usize) -> bool {
        // Three bytes are made of four characters: the first from the first two, and so on.
        let at = at as u32;
        match offset {
            3 => from
                .binary_search_by_key(&(at + 1), |f| f.end)
                .is_ok_and(|n| n % 3 == 2),
            _ => from
                .binary_search_by_key(&at, |f| f.start)
                .is_ok_and(|n| n % 3 == offset),
        }
    }
}

/// The characters from `at` on, at most so many, without the breaks between them; and where they
/// end.
pub(super) fn digits(window: &[u8], at: usize, most: usize) -> (Vec<(u8, u32)>, usize) {
    let mut all = Vec::with_capacity(most.min(window.len().saturating_sub(at)));
    let mut end = at;
    while all.len() < most && end < window.len() {
        match value(window[end]) {
            Some(v) => {
                all.push((v, end as u32));
                end += 1;
            }
            None => match break_after(window, end) {
                0 => break,
                n => end += n,
            },
        }
    }
    (all, end)
}

/// The bytes that they stand for, and what each was made from.
pub(super) fn bytes(digits: &[(u8, u32)]) -> (Vec<u8>, Vec<Range<u32>>) {
    let mut bytes = Vec::with_capacity(digits.len());
    let mut from = Vec::with_capacity(digits.len());
    let mut groups = digits.chunks_exact(4);
    for group in &mut groups {
        let bits = group
            .iter()
            .fold(0u32, |bits, (v, _)| bits << 6 | u32::from(*v));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
        from.extend([0, 1, 2].map(|n| group[n].1..group[n + 1].1 + 1));
    }
    let group = groups.remainder();
    if !group.is_empty() {
        let bits = group
            .iter()
            .fold(0u32, |bits, (v, _)| bits << 6 | u32::from(*v))
            << (6 * (4 - group.len()));
        for n in 0..(group.len() * 6 / 8) {
            bytes.push((bits >> (16 - 8 * n)) as u8);
            from.push(group[n].1..group[n + 1].1 + 1);
        }
    }
    (bytes, from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_has_three_faces() {
        let faces: Vec<String> = (0..3)
            .map(|p| String::from_utf8(face(b"T3BlbkFJ", p).0).unwrap())
            .collect();
        assert_eq!(faces, ["VDNCbGJrRk", "QzQmxia0ZK", "UM0JsYmtGS"]);
    }

    #[test]
    fn breaks_are_skipped_and_the_groups_lie_as_the_trace_says() {
        let window = b"x: VDNC\r\n  bGJr\\nRko=";
        let decoded = Base64.decode(window, 3, 0);
        assert_eq!(decoded.bytes, b"T3BlbkFJ");
        assert_eq!(decoded.span(&(0..8)), 3..window.len() - 1);
    }
}
