//! Every disguise of a key, written here and found by the matcher: what the decoders promise.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;
use crate::rules::Template;
use proptest::prelude::*;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |v, b| v << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for n in 0..4 {
            let c = ALPHABET[(bits >> (18 - 6 * n)) as usize & 63] as char;
            out.push(if n <= group.len() { c } else { '=' });
        }
    }
    out
}

fn wrapped(text: &str, width: usize, between: &str) -> String {
    let chunks: Vec<&str> = text
        .as_bytes()
        .chunks(width)
        .map(|c| std::str::from_utf8(c).unwrap())
        .collect();
    chunks.join(between)
}

fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.bytes()
        .flat_map(|b| if big { [0, b] } else { [b, 0] })
        .collect()
}

fn utf32(text: &str, big: bool) -> Vec<u8> {
    text.bytes()
        .flat_map(|b| if big { [0, 0, 0, b] } else { [b, 0, 0, 0] })
        .collect()
}

/// A disguise: its name, the decoders that must be named, and how to put a key on.
type Disguise = (
    &'static str,
    &'static [&'static str],
    fn(&str, usize) -> Vec<u8>,
);

const DISGUISES: &[Disguise] = &[
    ("base64", &["base64"], |k, n| {
        base64(format!("{}{k}", "a".repeat(n % 3)).as_bytes()).into()
    }),
    ("base64 in a text", &["base64"], |k, n| {
        base64(format!("A={}\nK={k}\nB=2\n", "x".repeat(n)).as_bytes()).into()
    }),
    ("base64, url-safe and unpadded", &["base64"], |k, n| {
        base64(format!("{}{k}~~~", "?".repeat(n % 5)).as_bytes())
            .replace('+', "-")
            .replace('/', "_")
            .trim_end_matches('=')
            .into()
    }),
    ("base64, wrapped", &["base64"], |k, n| {
        wrapped(
            &base64(format!("{}{k}", "b".repeat(n)).as_bytes()),
            20 + n % 60,
            "\n  ",
        )
        .into()
    }),
    ("base64, wrapped in JSON", &["base64"], |k, n| {
        wrapped(
            &base64(format!("{}{k}", "b".repeat(n)).as_bytes()),
            64,
            "\\n",
        )
        .into()
    }),
    ("base64 of base64", &["base64", "base64"], |k, n| {
        base64(base64(format!("{}{k} ", "c".repeat(n % 7)).as_bytes()).as_bytes()).into()
    }),
    ("base64 of UTF-16", &["base64", "utf-16"], |k, n| {
        base64(&utf16(&format!("{}'{k}'", "$".repeat(n % 5)), false)).into()
    }),
    ("gzip in base64", &["base64", "gzip"], |k, n| {
        let text = format!("{}\nkey: {k}\n", "some words ".repeat(n));
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(text.as_bytes()).unwrap();
        format!("{{\"data\": \"{}\"}}", base64(&gz.finish().unwrap())).into()
    }),
    ("gzip in base64, wrapped", &["base64", "gzip"], |k, n| {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(format!("{n} {k}").as_bytes()).unwrap();
        wrapped(&base64(&gz.finish().unwrap()), 76, "\n  ").into()
    }),
    ("zlib in base64", &["base64", "zlib"], |k, n| {
        let text = format!("{}{{\"key\": \"{k}\"}}", "words of a text, ".repeat(n));
        let mut z = ZlibEncoder::new(Vec::new(), Compression::default());
        z.write_all(text.as_bytes()).unwrap();
        format!("x = b'{}'", base64(&z.finish().unwrap())).into()
    }),
    (
        "base64 of gzip of base64",
        &["base64", "gzip", "base64"],
        |k, n| {
            let mut gz = GzEncoder::new(Vec::new(), Compression::default());
            let inner = base64(format!("{}{k}", "b".repeat(n)).as_bytes());
            gz.write_all(format!("data: {inner}\n").as_bytes()).unwrap();
            base64(&gz.finish().unwrap()).into()
        },
    ),
    ("UTF-16, little end first", &["utf-16"], |k, n| {
        [vec![b'x'; n % 2], utf16(&format!("key {k}\n"), false)].concat()
    }),
    ("UTF-16, big end first", &["utf-16"], |k, n| {
        [vec![b'x'; n % 2], utf16(&format!("key {k}\n"), true)].concat()
    }),
    ("UTF-32, little end first", &["utf-32"], |k, n| {
        [vec![b'x'; n % 4], utf32(k, false)].concat()
    }),
    ("UTF-32, big end first", &["utf-32"], |k, n| {
        [vec![b'x'; n % 4], utf32(k, true)].concat()
    }),
    ("hex", &["hex"], |k, _| {
        each(k, |b| format!("{b:02x}")).into()
    }),
    ("HEX", &["hex"], |k, _| {
        each(k, |b| format!("{b:02X}")).into()
    }),
    ("hex, spaced", &["hex"], |k, _| {
        each(k, |b| format!("{b:02x} ")).into()
    }),
    ("hex, colons and lines", &["hex"], |k, _| {
        let all: Vec<String> = k.bytes().map(|b| format!("{b:02x}")).collect();
        all.chunks(16)
            .map(|c| c.join(":"))
            .collect::<Vec<_>>()
            .join(":\n    ")
            .into()
    }),
    ("hex array", &["hex-array"], |k, _| {
        each(k, |b| format!("0x{b:02x}, ")).into()
    }),
    ("percent", &["percent"], |k, _| {
        each(k, |b| format!("%{b:02X}")).into()
    }),
    ("percent, where it must be", &["percent"], |k, _| {
        k.replace('-', "%2D").into()
    }),
    ("percent twice", &["percent", "percent"], |k, _| {
        each(k, |b| format!("%{b:02x}")).replace('%', "%25").into()
    }),
    ("\\x", &["hex-escape"], |k, _| {
        each(k, |b| format!("\\x{b:02x}")).into()
    }),
    ("\\u", &["unicode-escape"], |k, _| {
        each(k, |b| format!("\\u{b:04X}")).into()
    }),
    ("\\u, where it must be", &["unicode-escape"], |k, _| {
        k.replace('-', "\\u002d").into()
    }),
    ("\\u in JSON in JSON", &["unicode-escape"], |k, n| {
        let escape = format!("{}u002d", "\\".repeat([2, 4][n % 2]));
        format!("{{\"body\": \"{}\"}}", k.replace('-', &escape)).into()
    }),
    ("octal", &["octal-escape"], |k, _| {
        each(k, |b| format!("\\{b:03o}")).into()
    }),
    ("entities", &["html-entity"], |k, _| {
        each(k, |b| format!("&#{b};")).into()
    }),
    ("hex entities", &["html-entity"], |k, _| {
        each(k, |b| format!("&#x{b:x};")).into()
    }),
    ("wrapped", &["joined"], |k, n| {
        wrapped(k, (8 + n % 60).min(k.len() - 1), "\n").into()
    }),
    ("wrapped and indented", &["joined"], |k, n| {
        wrapped(k, 20 + n % 20, "\r\n    ").into()
    }),
    ("wrapped in JSON", &["joined"], |k, n| {
        wrapped(k, 20 + n % 20, "\\n").into()
    }),
    ("quoted-printable", &["joined"], |k, n| {
        wrapped(k, 20 + n % 20, "=\n").into()
    }),
    ("a sum of strings", &["joined"], |k, n| {
        format!("\"{}\"", wrapped(k, 12 + n % 30, "\" + \"")).into()
    }),
    ("adjacent strings", &["joined"], |k, n| {
        format!("(\n    '{}'\n)", wrapped(k, 12 + n % 30, "'\n    '")).into()
    }),
    ("strings with dots between", &["joined"], |k, n| {
        format!("'{}'", wrapped(k, 12 + n % 30, "' . '")).into()
    }),
    ("a template", &["joined"], |k, n| {
        format!("`${{\"{}\"}}`", wrapped(k, 12 + n % 30, "\"}${\"")).into()
    }),
    ("a sum of strings in JSON", &["joined"], |k, n| {
        let sum = wrapped(k, 12 + n % 30, "\\\" + \\\"");
        format!("{{\"code\": \"k = \\\"{sum}\\\"\"}}").into()
    }),
    ("folded YAML", &["joined"], |k, n| {
        format!(">-\n    {}", wrapped(k, 20 + n % 20, "\n    ")).into()
    }),
    ("JSON in JSON", &[], |k, _| {
        format!("{{\"body\": \"{{\\\"key\\\": \\\"{k}\\\"}}\"}}").into()
    }),
    ("an array to be joined", &["joined"], |k, n| {
        format!("[\"{}\"].join(\"\")", wrapped(k, 12 + n % 30, "\", \"")).into()
    }),
    ("continued lines", &["joined"], |k, n| {
        wrapped(k, 20 + n % 20, "\\\n  ").into()
    }),
    ("a wrapped comment", &["joined"], |k, n| {
        wrapped(k, 20 + n % 20, "\n# ").into()
    }),
];

/// Every disguise of a key in every kind of surroundings is found, once, and says how.
fn check(disguise: &Disguise, template: &str, seed: u64, n: usize) -> Result<(), TestCaseError> {
    let matcher = Matcher::shared();
    let key = Template::parse(template).unwrap().fill(seed).key;
    let (name, decoders, put_on) = disguise;
    let mut text = b"some = words\nvalue: ".to_vec();
    text.extend(put_on(&key, n));
    text.extend_from_slice(b"\n;end = 1\n");
    let hits = matcher.search_all(&text);
    prop_assert_eq!(
        hits.len(),
        1,
        "{} {} {} {}: {:?}",
        name,
        template,
        seed,
        n,
        hits
    );
    prop_assert!(
        hits[0].secret.expose() == key.as_bytes(),
        "{} {} {}: {:?}",
        name,
        seed,
        n,
        &hits[0]
    );
    prop_assert_eq!(&hits[0].decoders[..], *decoders, "{}", name);
    Ok(())
}

#[test]
fn every_disguise_is_seen_through() {
    for disguise in DISGUISES {
        for template in [
            "sk-proj-{long:74,74}",
            "sk-{alnum:20}T3BlbkFJ{alnum:20}",
            "sk-svcacct-{long:57,58}",
        ] {
            // A word wrapped at its very end is not wrapped; hyphens are not always escaped.
            for n in 0..12 {
                check(disguise, template, n as u64, n * 7).unwrap();
            }
        }
    }
}

#[test]
fn a_name_between_two_strings_is_no_piece_of_a_key() {
    let matcher = Matcher::shared();
    let halves = "head = \"sk-billing-w\"\ntail = \"orker-{alnum:20}T3BlbkFJ{alnum:20}\"\n";
    let text = Template::parse(halves).unwrap().fill(7).text;
    let hits = matcher.search_all(text.as_bytes());
    assert!(hits.is_empty(), "{hits:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn disguises_hold_for_any_key_and_any_width(which in 0..DISGUISES.len(), seed in 0u64..5000, n in 0usize..60) {
        check(&DISGUISES[which], "sk-proj-{long:58,58}", seed, n)?;
    }

    #[test]
    fn disguised_noise_comes_to_an_end(parts in proptest::collection::vec((0..DISGUISES.len(), 0u64..9), 1..6), cut in any::<prop::sample::Index>()) {
        let matcher = Matcher::shared();
        let template = Template::parse("sk-proj-{long:58,58}").unwrap();
        let mut text = Vec::new();
        for (which, seed) in parts {
            text.extend(DISGUISES[which].2(&template.fill(seed).key, seed as usize));
            let at = cut.index(text.len());
            text.truncate(text.len() - at / 4);
        }
        matcher.search_all(&text);
        let window = Text { bytes: &text, starts: false, ends: false };
        matcher.search(window, 0..text.len(), &mut Vec::new());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// What was undone is not undone again for each anchor in it; that must not cost a key.
    #[test]
    fn what_is_remembered_costs_no_key(
        keys in proptest::collection::vec((0u64..500, 0usize..600, 0usize..4), 1..6),
        encodings in proptest::collection::vec(0usize..7, 1..3),
        wrap in prop::option::of(50usize..90),
    ) {
        let matcher = Matcher::shared();
        let template = Template::parse("sk-proj-{long:74,74}").unwrap();
        let mut text = String::new();
        for (seed, between, noise) in keys {
            let traces = ["T3BlbkFJ", "VDNCbGJr", "54334266", "no trace "][noise];
            text.push_str(&traces.repeat(between / traces.len()));
            text.push_str(&format!("\nkey = {}\n", template.fill(seed).key));
        }
        let mut text = text.into_bytes();
        for encoding in encodings {
            let as_str = String::from_utf8_lossy(&text).into_owned();
            text = match encoding {
                0..=2 => base64(&text).into_bytes(),
                3 => each(&as_str, |b| format!("{b:02x}")).into_bytes(),
                4 => each(&as_str, |b| format!("%{b:02X}")).into_bytes(),
                5 => each(&as_str, |b| format!("{b:02x} ")).into_bytes(),
                _ => utf16(&as_str, false),
            };
        }
        if let (Some(width), true) = (wrap, text.is_ascii() && !text.contains(&0)) {
            let whole = String::from_utf8(text).unwrap();
            text = wrapped(&whole, width, "\n").into_bytes();
        }
        let mut each_alone = std::collections::BTreeSet::new();
        let mut from = 0;
        while let Some((at, id)) = matcher.anchors().find(&text, from) {
            let mut hits = Vec::new();
            matcher.examine(Text::whole(&text), at, id, &mut hits);
            each_alone.extend(hits.into_iter().map(|h| (h.span.start, h.span.end, h.fingerprint)));
            from = at + 1;
        }
        let together = matcher.search_all(&text);
        let together: std::collections::BTreeSet<_> =
            together.into_iter().map(|h| (h.span.start, h.span.end, h.fingerprint)).collect();
        prop_assert_eq!(together, each_alone);
    }
}

#[test]
fn a_key_that_the_end_of_what_is_unpacked_cuts_is_told_all_the_same() {
    use std::io::Write;
    let matcher = Matcher::shared();
    let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(3).key;
    let packed = |text: &str| {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(text.as_bytes()).unwrap();
        to.finish().unwrap()
    };
    // So much is unpacked of what shrinks to less than a thirty-second of its length.
    let text = |filler: usize| format!("{}\n{key}\n{}", "x".repeat(filler), "y".repeat(40_000));
    let most = packed(&text(8_000)).len() * 32;
    let text = text(most - 130);
    let hits = matcher.search_all(base64(&packed(&text)).as_bytes());
    assert!(
        hits.iter()
            .any(|hit| hit.secret.expose().starts_with(&key.as_bytes()[..100])),
        "{hits:?}"
    );
}
