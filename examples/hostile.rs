//! The matcher on input that is made to waste its time: each anchor again and again, with nothing,
//! a line feed, letters or random characters between, and texts that are dense with markers, in every
//! encoding that has a short description. Prints megabytes a second on one core, the slowest last.
//! `cargo run --release --example hostile [-- NAME]`; NAME picks those whose names hold it.

#![allow(clippy::print_stdout)] // a benchmark's result

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use skewer::matcher::{Matcher, Text};
use skewer::rules::{Rules, Template};

const SIZE: usize = 512 << 10;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn letters(&mut self, count: usize) -> Vec<u8> {
        const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..count)
            .map(|_| ALL[(self.next() % 62) as usize])
            .collect()
    }
}

fn filled(mut row: impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(SIZE + 4096);
    while out.len() < SIZE {
        row(&mut out);
    }
    out.truncate(SIZE);
    out
}

fn hex(text: &[u8], before: &str, between: &str) -> Vec<u8> {
    let pairs: Vec<String> = text.iter().map(|b| format!("{before}{b:02x}")).collect();
    pairs.join(between).into_bytes()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODINGS: &[(&str, Encode)] = &[
    ("plain", |text| text.to_vec()),
    ("base64", |text| STANDARD.encode(text).into_bytes()),
    ("base64 twice", |text| {
        STANDARD.encode(STANDARD.encode(text)).into_bytes()
    }),
    ("base64 thrice", |text| {
        STANDARD
            .encode(STANDARD.encode(STANDARD.encode(text)))
            .into_bytes()
    }),
    ("base64 of utf-16", |text| {
        let wide: Vec<u8> = text.iter().flat_map(|b| [*b, 0]).collect();
        STANDARD.encode(wide).into_bytes()
    }),
    ("hex", |text| hex(text, "", "")),
    ("hex spaced", |text| hex(text, "", " ")),
    ("hex array", |text| hex(text, "0x", ",")),
    ("hex of hex", |text| hex(&hex(text, "", ""), "", "")),
    ("percent", |text| hex(text, "%", "")),
    ("percent twice", |text| hex(text, "%25", "")),
    ("hex escape", |text| hex(text, "\\x", "")),
    ("unicode escape", |text| hex(text, "\\u00", "")),
    ("entity", |text| hex(text, "&#x", ";")),
    ("utf-16", |text| text.iter().flat_map(|b| [*b, 0]).collect()),
    ("utf-32", |text| {
        text.iter().flat_map(|b| [*b, 0, 0, 0]).collect()
    }),
];

fn inputs(matcher: &Matcher) -> Vec<(String, Vec<u8>)> {
    let mut inputs = Vec::new();
    for literal in matcher.anchors().iter() {
        let name = literal.escape_ascii();
        let mut random = Random(1);
        let mut add = |what: &str, row: &mut dyn FnMut(&mut Vec<u8>)| {
            inputs.push((format!("{name}, {what}"), filled(row)));
        };
        add("glued", &mut |out| out.extend_from_slice(literal));
        add("lines", &mut |out| {
            out.extend_from_slice(literal);
            out.push(b'\n');
        });
        add("letters", &mut |out| {
            out.extend_from_slice(literal);
            out.extend_from_slice(&random.letters(1 + literal.len() % 4));
        });
        add("apart", &mut |out| {
            out.extend_from_slice(literal);
            out.extend_from_slice(&random.letters(60));
        });
        add("words", &mut |out| {
            out.push(b' ');
            out.extend_from_slice(literal);
            out.extend_from_slice(&random.letters(60));
        });
    }
    let mut random = Random(2);
    let marker = format!("T3Bl{}", "bkFJ").into_bytes();
    let mut texts = vec![
        (
            "markers".to_owned(),
            filled(|out| out.extend_from_slice(&marker)),
        ),
        (
            "prefixed markers".to_owned(),
            filled(|out| {
                out.extend_from_slice(b"sk-");
                out.extend_from_slice(&marker);
            }),
        ),
        (
            "a marker in 30 letters".to_owned(),
            filled(|out| {
                out.extend_from_slice(&random.letters(30));
                out.extend_from_slice(&marker);
            }),
        ),
        (
            "quoted markers".to_owned(),
            filled(|out| {
                out.extend_from_slice(b"\"+\n\"sk-\"");
                out.extend_from_slice(&marker);
            }),
        ),
    ];
    let templates: Vec<Template> = Rules::built_in()
        .iter()
        .flat_map(|rule| rule.must_not_match.iter().cloned())
        .collect();
    let mut seed = 0;
    texts.push((
        "no keys".to_owned(),
        filled(|out| {
            seed += 1;
            let template = &templates[seed as usize % templates.len()];
            out.extend_from_slice(template.fill(seed).text.as_bytes());
            out.push(b'\n');
        }),
    ));
    for (name, encode) in ENCODINGS {
        for (what, text) in &texts {
            let mut encoded = encode(text);
            encoded.truncate(SIZE);
            inputs.push((format!("{what}: {name}"), encoded));
        }
    }
    inputs
}

/// Megabytes a second, of the fastest of a few runs.
fn speed(matcher: &Matcher, bytes: &[u8]) -> f64 {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    for _ in 0..5 {
        let start = Instant::now();
        let mut hits = Vec::new();
        matcher.search(Text::whole(black_box(bytes)), 0..bytes.len(), &mut hits);
        black_box(hits.len());
        best = best.min(start.elapsed());
        if begin.elapsed() > Duration::from_millis(400) {
            break;
        }
    }
    bytes.len() as f64 / best.as_secs_f64() / 1e6
}

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let matcher = Matcher::new(&Rules::built_in(), None);
    let mut rows: Vec<(f64, String)> = inputs(&matcher)
        .into_iter()
        .filter(|(name, _)| name.contains(&wanted))
        .map(|(name, bytes)| (speed(&matcher, &bytes), name))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (speed, name) in rows {
        println!("{speed:8.1} MB/s  {name}");
    }
}
