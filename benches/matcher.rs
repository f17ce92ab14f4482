//! What the search costs for each byte: all anchors against the marker alone, and the whole matcher,
//! on inputs that differ in how often they stop it. `cargo bench --bench matcher`.
//!
//! Floors: `byte` looks for one byte that isn't there (the memory's pace), `marker` for OpenAI's
//! marker with a substring search, `halves` for its two halves with the matcher's own engine.

use std::hint::black_box;

use aho_corasick::packed;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use skewer::matcher::{Matcher, Text};
use skewer::rules::{Rules, Template};

/// OpenAI's marker: base64 of its name.
const MARKER: &str = "T3BlbkFJ";
const SIZE: usize = 16 << 20;
/// What a reader hands over at a time.
const PIECE: usize = 64 << 10;

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

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
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

/// JSON lines of a service, with masked keys.
fn log() -> Vec<u8> {
    let mut r = Random(1);
    filled(|out| {
        let row = format!(
            "{{\"ts\": {}, \"level\": \"info\", \"svc\": \"api-{}\", \"path\": \"/v1/chat/completions\", \"dur_ms\": {}.{:03}, \"req\": \"req_{:016x}{:016x}\", \"auth\": \"Bearer sk-***{:04x}\"}}\n",
            1_760_000_000 + out.len(),
            r.below(17),
            r.below(1000),
            r.below(1000),
            r.next(),
            r.next(),
            r.below(65536),
        );
        out.extend_from_slice(row.as_bytes());
    })
}

/// Indented words and punctuation, as programs have them. None of the words holds an anchor: the
/// Linux sources have one in 300,000 bytes.
fn source() -> Vec<u8> {
    const WORDS: &[&str] = &[
        "static", "int", "return", "struct", "device", "if", "unsigned", "long", "task", "risk",
        "const", "char", "request", "session", "weekday", "key", "token", "value", "NULL", "0x1f",
    ];
    const BETWEEN: &[&str] = &[
        " ", " ", "_", "->", "(", ")", ", ", " = ", " * ", ";\n\t", "\n\n", " {\n\t\t",
    ];
    let mut r = Random(2);
    filled(|out| {
        out.extend_from_slice(WORDS[r.below(WORDS.len() as u64) as usize].as_bytes());
        out.extend_from_slice(BETWEEN[r.below(BETWEEN.len() as u64) as usize].as_bytes());
    })
}

fn binary() -> Vec<u8> {
    let mut r = Random(3);
    filled(|out| out.extend_from_slice(&r.next().to_le_bytes()))
}

/// A candidate about every 300 bytes: keys of every kind, and texts that only look like keys.
fn dense() -> Vec<u8> {
    let templates: Vec<Template> = Rules::built_in()
        .iter()
        .flat_map(|rule| rule.must_match.iter().chain(&rule.must_not_match).cloned())
        .collect();
    let mut r = Random(4);
    filled(|out| {
        let template = &templates[r.below(templates.len() as u64) as usize];
        out.extend_from_slice(template.fill(r.next()).text.as_bytes());
        out.push(b'\n');
        (0..25).for_each(|_| out.extend_from_slice(format!("{:08x} ", r.next() as u32).as_bytes()));
        out.push(b'\n');
    })
}

fn anchors(matcher: &Matcher, bytes: &[u8]) -> usize {
    let mut count = 0;
    for piece in bytes.chunks(PIECE) {
        let mut from = 0;
        while let Some((at, _)) = matcher.anchors().find(piece, from) {
            count += 1;
            from = at + 1;
        }
    }
    count
}

fn keys(matcher: &Matcher, bytes: &[u8]) -> usize {
    let mut hits = Vec::new();
    for piece in bytes.chunks(PIECE) {
        matcher.search(Text::whole(piece), 0..piece.len(), &mut hits);
    }
    hits.len()
}

fn halves(searcher: &packed::Searcher, bytes: &[u8]) -> usize {
    bytes
        .chunks(PIECE)
        .map(|piece| searcher.find_iter(piece).count())
        .sum()
}

fn search(c: &mut Criterion) {
    let matcher = Matcher::new(&Rules::built_in(), None);
    let marker = memchr::memmem::Finder::new(MARKER);
    let (left, right) = MARKER.split_at(MARKER.len() / 2);
    let both = packed::Searcher::new([left, right]).expect("this machine has SIMD");
    for (name, bytes) in [
        ("log", log()),
        ("source", source()),
        ("binary", binary()),
        ("dense", dense()),
    ] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(SIZE as u64));
        group.sample_size(20);
        let missing = (0..=255u8)
            .rev()
            .find(|b| !bytes.contains(b))
            .unwrap_or(0xff);
        group.bench_function(BenchmarkId::from_parameter("byte"), |b| {
            b.iter(|| memchr::memchr_iter(missing, black_box(&bytes)).count());
        });
        group.bench_function(BenchmarkId::from_parameter("marker"), |b| {
            b.iter(|| marker.find_iter(black_box(&bytes)).count());
        });
        group.bench_function(BenchmarkId::from_parameter("halves"), |b| {
            b.iter(|| halves(&both, black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::from_parameter("anchors"), |b| {
            b.iter(|| anchors(&matcher, black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::from_parameter("keys"), |b| {
            b.iter(|| keys(&matcher, black_box(&bytes)));
        });
        group.finish();
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
