//! What holds for all formats.

use proptest::prelude::*;

use super::testing::{
    Got, compress, gzip_stored, lz4, samples, tar, unpack, unpack_stream, zip, zstd,
};
use super::{FORMATS, HEAD, recognise};

const TEXT: &[u8] = b"one line of text, and another one\nwith words, and words again\n";

/// Text that compresses well, and is longer than any buffer.
fn long(lines: u32) -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..lines {
        text.extend(format!("{n} {} of a log\n", n.wrapping_mul(2_654_435_761)).bytes());
    }
    text
}

#[test]
fn every_format_is_read_from_memory_and_from_streams() {
    for text in [TEXT, &long(6_000)] {
        for (name, packed) in samples(text) {
            let notes = unpack(name, &packed);
            let whole = |contents: Vec<(String, Vec<u8>)>| {
                contents.iter().any(|(_, content)| content == text)
            };
            assert!(whole(notes.contents()), "{name}");
            assert_eq!(notes.unread(), [], "{name}");
            for piece in [977, 100_000] {
                let notes = unpack_stream(name, &packed, piece);
                assert!(whole(notes.contents()), "{name} in pieces of {piece}");
                assert_eq!(notes.unread(), [], "{name} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn formats_have_names_of_their_own_and_take_no_text() {
    for (number, format) in FORMATS.iter().enumerate() {
        let name = format.name();
        assert!(
            FORMATS[..number].iter().all(|other| other.name() != name),
            "{name}"
        );
    }
    for text in [TEXT, b"", b"BZh is a beginning", b"PK", b"] and \x1f"] {
        assert!(recognise(text, b"notes.txt").is_none(), "{text:?}");
    }
    for bytes in [&[0; HEAD], &[0xff; HEAD]] {
        assert!(recognise(bytes, b"disk.img").is_none());
    }
    assert!(recognise(TEXT, b"notes.br").is_none());
}

#[test]
fn what_is_cut_is_told_and_read_as_far_as_it_goes() {
    let text = long(3_000);
    // A `.Z` doesn't say where it ends.
    let told = samples(&text)
        .into_iter()
        .filter(|(name, _)| *name != "a.Z");
    for (name, packed) in told {
        for part in [3, 10, 50, 90, 99] {
            if (name, part) == ("a.tar", 99) {
                continue; // only the zeros behind its end
            }
            let cut = &packed[..packed.len() * part / 100];
            for notes in [unpack(name, cut), unpack_stream(name, cut, 4096)] {
                assert!(!notes.unread().is_empty(), "{name} cut to {part} %");
                let read: usize = notes
                    .0
                    .iter()
                    .map(|(_, got)| match got {
                        Got::Member(bytes, _) => bytes.len(),
                        _ => 0,
                    })
                    .sum();
                // Others give nothing before a block is whole, and there is only one.
                let flows = [
                    "a.gz",
                    "a.tar",
                    "a.tgz",
                    "a.lzma",
                    "deflate.zip",
                    "stored.zip",
                ];
                let least = text.len() * (part / 10) / 20;
                assert!(
                    read >= least || !flows.contains(&name),
                    "{name} cut to {part} %: {read}"
                );
            }
        }
    }
}

#[test]
fn streams_that_follow_each_other_are_one_content() {
    for (name, packed) in samples(TEXT)
        .into_iter()
        .filter(|(name, _)| ["a.gz", "a.bz2", "a.xz", "a.zst", "a.lz4"].contains(name))
    {
        let notes = unpack(
            name,
            &[&packed[..], &packed, b"and text behind it"].concat(),
        );
        assert_eq!(notes.contents()[0].1, [TEXT, TEXT].concat(), "{name}");
        assert!(notes.hold("and text behind it"), "{name}");
        assert_eq!(notes.unread(), [], "{name}");
    }
    let skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
    for packed in [zstd(TEXT), lz4(TEXT)] {
        let notes = unpack("", &[&packed[..], skippable, &packed].concat());
        assert_eq!(notes.contents()[0].1, [TEXT, TEXT].concat());
    }
    let notes = unpack("", &[skippable, &zstd(TEXT)[..]].concat());
    assert_eq!(notes.contents()[0].1, TEXT);
}

#[test]
fn words_of_every_width_are_read() {
    // Words fill up the table of 9, 10, … 16 bits; with fewer bits it stays full.
    for most in [9, 10, 13, 16] {
        let text = long(12_000);
        let notes = unpack("", &compress(&text, most));
        assert_eq!(notes.contents()[0].1, text, "{most} bits");
    }
}

#[test]
fn names_that_lead_elsewhere_are_names_like_others() {
    let names = [
        "../../x",
        "/etc/passwd",
        "C:\\x",
        "a/../../b",
        "con",
        "\u{1b}[2J",
    ];
    for name in names {
        for packed in [tar(&[(name, TEXT)]), zip(&[(name, 8, TEXT)])] {
            assert_eq!(
                unpack("", &packed).contents(),
                [(name.to_owned(), TEXT.to_vec())]
            );
        }
    }
}

#[test]
fn a_thousand_archives_in_each_other_end() {
    let mut packed = TEXT.to_vec();
    for level in 0..1000 {
        packed = match level % 20 {
            0 => zip(&[("inner", 0, &packed)]),
            _ => gzip_stored(&packed),
        };
    }
    // The test's own depth ends it; `examine` has a limit and a test for it.
    assert!(!unpack("", &packed).0.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_ones_neither_panic_nor_hang(
        which in 0usize..100,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in 0usize..2000,
        piece in 1usize..600,
    ) {
        let all = samples(TEXT);
        let (name, mut packed) = all[which % all.len()].clone();
        for (at, byte) in damage {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        packed.truncate(packed.len().saturating_sub(cut % 40).max(1));
        unpack(name, &packed);
        if recognise(&packed[..packed.len().min(HEAD)], name.as_bytes()).is_some() {
            unpack_stream(name, &packed, piece);
        }
    }

    #[test]
    fn noise_behind_a_signature_neither_panics_nor_hangs(
        which in 0usize..100,
        keep in 2usize..60,
        noise in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let all = samples(TEXT);
        let (name, packed) = &all[which % all.len()];
        let noisy = [&packed[..keep.min(packed.len())], &noise].concat();
        unpack(name, &noisy);
    }
}
