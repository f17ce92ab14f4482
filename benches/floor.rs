//! The floor of a search of history: map a pack, inflate every entry once on all cores, search
//! the raw bytes (deltas left as deltas) for the same literals. Prints its CPU time beside that of
//! the real search: `cargo bench --bench floor -- GIT_DIR [THREADS]`. With `floor` behind that it
//! runs once and alone, to be measured from outside (`benches/compare --only history`). With `sizes`
//! it compares our inflating of small entries with libdeflate's, on one core, by their sizes.

#![allow(clippy::print_stdout)] // a benchmark's result

// Their tests are not run here.
#[path = "../src/history/inflate/bits.rs"]
mod bits;
#[allow(dead_code)]
#[path = "../src/history/inflate/codes.rs"]
mod codes;
#[allow(dead_code)]
#[path = "../src/history/inflate/small.rs"]
mod small;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skewer::coverage::Progress;
use skewer::history::{History, Layout};
use skewer::matcher::Matcher;
use skewer::rules::Rules;

/// CPU time of this process, user and system, in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("the name ends") + 2..]
        .split(' ')
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|f| f.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

fn be32(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

/// A pack with an index of version 2.
struct Pack {
    bytes: memmap2::Mmap,
    /// Where its entries begin, and at the end where the last one ends.
    starts: Vec<usize>,
}

impl Pack {
    fn open(path: &Path) -> Self {
        let map = |path: &Path| {
            let file = std::fs::File::open(path).expect("a pack and its index");
            // SAFETY: nothing changes a benchmark's pack.
            #[allow(unsafe_code)]
            unsafe {
                memmap2::Mmap::map(&file).expect("it can be mapped")
            }
        };
        let (bytes, index) = (map(path), map(&path.with_extension("idx")));
        let count = be32(&index, 8 + 255 * 4);
        let (small, large) = (8 + 1024 + count * 24, 8 + 1024 + count * 28);
        let mut starts: Vec<usize> = (0..count)
            .map(|n| match be32(&index, small + n * 4) {
                far if far >> 31 != 0 => {
                    let at = large + (far & 0x7fff_ffff) * 8;
                    be32(&index, at) << 32 | be32(&index, at + 4)
                }
                near => near,
            })
            .collect();
        starts.sort_unstable();
        starts.push(bytes.len() - 20);
        Self { bytes, starts }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// An entry's compressed bytes, how many there are without a little of what follows them, and what
    /// they inflate to.
    fn entry(&self, n: usize) -> (&[u8], usize, usize) {
        let (mut at, end) = (self.starts[n], self.starts[n + 1]);
        let first = self.bytes[at];
        let (mut size, mut shift) = ((first & 15) as usize, 4);
        while self.bytes[at] & 0x80 != 0 {
            at += 1;
            size |= ((self.bytes[at] & 0x7f) as usize) << shift;
            shift += 7;
        }
        at += 1;
        match first >> 4 & 7 {
            6 => {
                while self.bytes[at] & 0x80 != 0 {
                    at += 1;
                }
                at += 1;
            }
            7 => at += 20,
            _ => {}
        }
        let ahead = (end + 64).min(self.bytes.len());
        (&self.bytes[at..ahead], end - at, size)
    }
}

/// More room than is needed, so that no entry is all slow end.
const SPARE: usize = small::SPARE;

/// What `inflate` takes for all entries of so many compressed bytes, the quickest of some rounds.
fn inflating(
    pack: &Pack,
    sizes: &Range<usize>,
    mut inflate: impl FnMut(&[u8], &mut [u8], usize) -> bool,
) -> (usize, Duration) {
    let entries = (0..pack.len()).map(|n| pack.entry(n));
    let entries: Vec<_> = entries.filter(|one| sizes.contains(&one.1)).collect();
    let largest = entries.iter().map(|one| one.2).max().unwrap_or(0);
    let mut room = vec![0; largest + SPARE];
    let mut round = || {
        let begin = Instant::now();
        for &(bytes, _, size) in &entries {
            assert!(inflate(bytes, &mut room[..size + SPARE], size));
        }
        begin.elapsed()
    };
    let best = (0..9).map(|_| round()).min().expect("some rounds");
    (entries.len(), best)
}

fn by_size(pack: &Pack) {
    for sizes in [64, 128, 256, 512, 1024, 2048, 4096].map(|end| end / 2..end) {
        let mut ours = small::Small::default();
        let (count, ours) = inflating(pack, &sizes, |from, to, size| {
            ours.inflate(from, to, size).is_some()
        });
        let mut libdeflate = libdeflater::Decompressor::new();
        let theirs = inflating(pack, &sizes, |from, to, _| {
            libdeflate.zlib_decompress(from, to).is_ok()
        });
        let ratio = ours.as_secs_f64() / theirs.1.as_secs_f64();
        println!(
            "{sizes:?} bytes: {count} entries, ours {ours:?}, libdeflate {:?}: {ratio:.2}",
            theirs.1
        );
    }
}

/// Inflates all entries of a pack; returns how many bytes there were.
fn floor(pack: &Path, matcher: &Matcher, threads: usize) -> (usize, usize) {
    let pack = Pack::open(pack);
    let count = pack.len();
    let (next, hits, total) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut inflater = libdeflater::Decompressor::new();
                let mut buffer = vec![0; 1 << 20];
                loop {
                    let from = next.fetch_add(256, Ordering::Relaxed);
                    if from >= count {
                        break;
                    }
                    for n in from..(from + 256).min(count) {
                        let (bytes, _, size) = pack.entry(n);
                        if buffer.len() < size + SPARE {
                            buffer.resize((size + SPARE) * 2, 0);
                        }
                        inflater
                            .zlib_decompress(bytes, &mut buffer[..size + SPARE])
                            .expect("a sound pack");
                        total.fetch_add(size, Ordering::Relaxed);
                        for piece in (0..size).step_by(4096) {
                            let end = (piece + 4096 + 11).min(size);
                            let mut from = piece;
                            while let Some((at, _)) = matcher.anchors().find(&buffer[..end], from) {
                                hits.fetch_add(1, Ordering::Relaxed);
                                from = at + 1;
                            }
                        }
                    }
                }
            });
        }
    });
    (total.into_inner(), hits.into_inner())
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let Some(git_dir) = args.next().map(PathBuf::from) else {
        return println!("give a git directory");
    };
    let threads = args.next().and_then(|n| n.parse().ok()).unwrap_or(2);
    let matcher = Matcher::new(&Rules::built_in(), None);
    let suppress = skewer::suppress::Suppressor::default();
    let what = args.next().unwrap_or_default();
    let packs = std::fs::read_dir(git_dir.join("objects/pack")).expect("packs");
    let packs: Vec<PathBuf> = packs
        .map(|p| p.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "pack"))
        .collect();
    if what == "sizes" {
        return packs.iter().for_each(|pack| by_size(&Pack::open(pack)));
    }
    if what == "floor" {
        for pack in &packs {
            let (bytes, hits) = floor(pack, &matcher, threads);
            println!("{bytes} bytes, {hits} anchors");
        }
        return;
    }
    for round in 0..3 {
        let (wall, used) = (Instant::now(), cpu());
        for pack in &packs {
            let (bytes, hits) = floor(pack, &matcher, threads);
            println!("{bytes} bytes, {hits} anchors");
        }
        println!(
            "{round} floor    wall {:?} cpu {:?}",
            wall.elapsed(),
            cpu() - used
        );
        let (wall, used) = (Instant::now(), cpu());
        let (progress, stop) = (Progress::default(), AtomicBool::new(false));
        let unpacking = skewer::examine::Unpacking::default();
        let history = History {
            matcher: &matcher,
            suppress: &suppress,
            accept: &skewer::config::Globs::default(),
            memory: None,
            purge: false,
            unpacking: &unpacking,
            chosen: None,
            require_complete: false,
            threads,
            progress: &progress,
            stop: &stop,
        };
        let outcome = history.search(&Layout {
            git_dir: git_dir.clone(),
            common_dir: git_dir.clone(),
            objects: git_dir.join("objects"),
            alternates: Vec::new(),
            id_length: 20,
        });
        println!(
            "{round} history  wall {:?} cpu {:?}, {} objects, {} findings",
            wall.elapsed(),
            cpu() - used,
            outcome.coverage.read.items,
            outcome.findings.len()
        );
    }
}
