//! Copies a stream with every key masked: a window slides over it, keys are masked in it in place,
//! and what can't change any more is written out.

use std::io::{self, Read, Write};

use super::packed::{HEAD, is_packed};
use crate::matcher::{MASKS_BACK, Masking, Matcher, Named, Shown, Values};

/// How much is read at once.
const BLOCK: usize = 128 << 10;

/// A stream being masked.
#[derive(Clone)]
pub struct Redactor<'m> {
    masking: Masking<'m>,
    values: Option<Values>,
    /// The stream as it came, and what is shown of it.
    buffer: Vec<u8>,
    shown: Vec<u8>,
    filled: usize,
    /// Offset in the stream of the buffer's first byte.
    base: u64,
    /// Up to where anchors were looked at, names were, and the buffer was written out.
    from: usize,
    named: usize,
    written: usize,
    packed: bool,
}

/// How much of what is held back is let go, see [`Redactor::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Lines that have ended.
    Lines,
    /// All. What may be the beginning of a key is masked.
    All,
}

impl<'m> Redactor<'m> {
    /// A stream of which nothing was read.
    pub fn new(matcher: &'m Matcher, named: Named) -> Self {
        Self {
            masking: Masking::new(matcher),
            values: Values::new(named),
            buffer: vec![0; 2 * MASKS_BACK + BLOCK],
            shown: vec![0; 2 * MASKS_BACK + BLOCK],
            filled: 0,
            base: 0,
            from: 0,
            named: 0,
            written: 0,
            packed: false,
        }
    }

    /// Reads once. 0 means the end, as with any reader.
    ///
    /// # Errors
    /// As the reader says.
    pub fn fill(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        if self.buffer.len() - self.filled < BLOCK / 2 {
            // What is looked back at stays.
            let drop = self.written.min(self.from.saturating_sub(MASKS_BACK));
            let drop = drop.min(self.named.saturating_sub(MASKS_BACK));
            self.buffer.copy_within(drop..self.filled, 0);
            self.shown.copy_within(drop..self.filled, 0);
            self.base += drop as u64;
            for place in [
                &mut self.filled,
                &mut self.from,
                &mut self.named,
                &mut self.written,
            ] {
                *place -= drop;
            }
            self.masking.forget(drop);
        }
        let read = reader.read(&mut self.buffer[self.filled..])?;
        let had = self.received();
        let new = self.filled..self.filled + read;
        self.shown[new.clone()].copy_from_slice(&self.buffer[new]);
        self.filled += read;
        if had < HEAD as u64 {
            self.packed = self.base == 0 && is_packed(&self.buffer[..self.filled]);
        }
        Ok(read)
    }

    /// How many bytes were read.
    pub fn received(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Whether bytes were read that were not written out.
    pub fn holds(&self) -> bool {
        self.written < self.filled
    }

    /// How many keys were masked.
    pub fn masked(&self) -> u64 {
        self.masking.masked()
    }

    /// Whether the stream began like a compressed file, whose keys nobody sees.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Writes out what can't change any more, whatever comes.
    ///
    /// # Errors
    /// As the writer says.
    pub fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.mask(false);
        let certain = self.masking.certain(self.from).min(self.named);
        self.write_until(certain, out)
    }

    /// Writes out what stands before `until` (an offset in the stream), as if nothing followed what
    /// was read. A key that goes on behind it is masked as far as it was not written.
    ///
    /// # Errors
    /// As the writer says.
    pub fn release(&mut self, until: u64, what: Release, out: &mut impl Write) -> io::Result<()> {
        let mut until = (until.saturating_sub(self.base) as usize).min(self.filled);
        if what == Release::Lines {
            let held = &self.buffer[self.written.min(until)..until];
            until = memchr::memrchr(b'\n', held).map_or(0, |at| self.written + at + 1);
        }
        if until <= self.written {
            return Ok(());
        }
        // What follows may tell otherwise, so this is done to a copy.
        let mut copy = self.clone();
        copy.mask(true);
        if what == Release::All {
            copy.masking.cover_unfinished(&mut Shown {
                text: &copy.buffer[..copy.filled],
                shown: &mut copy.shown[..copy.filled],
                starts: copy.base == 0,
                ends: false,
            });
        }
        copy.write_until(until, out)?;
        self.written = until;
        Ok(())
    }

    /// Writes out the rest.
    ///
    /// # Errors
    /// As the writer says.
    pub fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.mask(true);
        self.write_until(self.filled, out)
    }

    fn mask(&mut self, ends: bool) {
        let mut of = Shown {
            text: &self.buffer[..self.filled],
            shown: &mut self.shown[..self.filled],
            starts: self.base == 0,
            ends,
        };
        // Values first: whoever looks for keys is asked again where something is masked.
        self.named = match &mut self.values {
            Some(values) => values.mask(&mut of, self.named),
            None => of.text.len(),
        };
        self.from = self.masking.mask(&mut of, self.from);
    }

    fn write_until(&mut self, until: usize, out: &mut impl Write) -> io::Result<()> {
        if until > self.written {
            out.write_all(&self.shown[self.written..until])?;
            self.written = until;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Rules, Template};
    use proptest::prelude::*;

    const BOTH: Named = Named {
        headers: true,
        variables: true,
    };

    /// What comes out if the text comes in pieces, with a release after some of them.
    fn redacted(
        text: &[u8],
        named: Named,
        pieces: &[usize],
        releases: &[Option<Release>],
    ) -> Vec<u8> {
        let mut redactor = Redactor::new(Matcher::shared(), named);
        let (mut out, mut rest, mut n) = (Vec::new(), text, 0);
        while !rest.is_empty() {
            let count = pieces[n % pieces.len()].clamp(1, rest.len());
            let mut piece = &rest[..count];
            let read = redactor.fill(&mut piece).unwrap();
            rest = &rest[read..];
            redactor.write(&mut out).unwrap();
            if let Some(what) = releases[n % releases.len()] {
                redactor
                    .release(redactor.received(), what, &mut out)
                    .unwrap();
            }
            n += 1;
        }
        redactor.finish(&mut out).unwrap();
        assert!(!redactor.holds());
        out
    }

    fn key(seed: u64) -> String {
        let template = Template::parse("sk-proj-{long:74,74}").unwrap();
        template.fill(seed).key
    }

    #[test]
    fn lines_are_let_go_and_a_key_in_two_pieces_is_not() {
        let key = key(1);
        let mut redactor = Redactor::new(Matcher::shared(), Named::default());
        let mut out = Vec::new();
        let mut give = |text: &str, what, out: &mut Vec<u8>| {
            redactor.fill(&mut text.as_bytes()).unwrap();
            redactor.write(out).unwrap();
            redactor.release(redactor.received(), what, out).unwrap();
        };
        give(
            &format!("one\ntwo {}", &key[..50]),
            Release::Lines,
            &mut out,
        );
        assert_eq!(out, b"one\n");
        // Its rest takes too long: what may be a key is masked unseen.
        give("", Release::All, &mut out);
        give(&format!("{} three\n", &key[50..]), Release::Lines, &mut out);
        let expected = format!("one\ntwo {} three\n", "*".repeat(key.len()));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_pieces_give_the_same_and_no_key_is_left(
            parts in proptest::collection::vec((0u64..300, 0usize..40, 0usize..60_000, 0u8..4), 1..8),
            pieces in proptest::collection::vec(1usize..70_000, 1..5),
            releases in proptest::collection::vec(prop_oneof![Just(None), Just(Some(Release::Lines)), Just(Some(Release::All))], 1..5),
            named in any::<bool>(),
        ) {
            let rules = Rules::built_in();
            let templates: Vec<_> = rules.iter().flat_map(|r| r.must_match.iter().chain(&r.must_not_match)).collect();
            let mut text = Vec::new();
            for (seed, which, gap, kind) in parts {
                let unit: &[u8] = [&b"some words of a line\n"[..], b"no end ", b"Cookie: a=b\nX_KEY=c ", b""][usize::from(kind)];
                text.extend(unit.iter().copied().cycle().take(if unit.is_empty() { 0 } else { gap }));
                text.extend_from_slice(templates[which % templates.len()].fill(seed).text.as_bytes());
            }
            let named = if named { BOTH } else { Named::default() };
            let whole = redacted(&text, named, &[text.len()], &[None]);
            prop_assert_eq!(&whole, &redacted(&text, named, &pieces, &[None]));
            for out in [whole, redacted(&text, named, &pieces, &releases)] {
                prop_assert_eq!(out.len(), text.len());
                prop_assert!(text.iter().zip(&out).all(|(a, b)| a == b || *b == b'*'));
                prop_assert_eq!(Matcher::shared().search_all(&out).len(), 0);
            }
        }
    }
}
