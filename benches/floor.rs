//! The floor of a search of history: map a pack, inflate every entry once on all cores, search
//! the raw bytes (deltas left as deltas) for the same literals. Prints its CPU time beside that of
//! the real search: `cargo bench --bench floor -- GIT_DIR [THREADS]`. With `floor` behind that it
//! runs once and alone, to be measured from outside (`benches/compare --only history`).

#![allow(clippy::print_stdout)] // a benchmark's result

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

/// Inflates all entries of a pack with an index of version 2; returns how many bytes there were.
fn floor(pack: &Path, matcher: &Matcher, threads: usize) -> (usize, usize) {
    let map = |path: &Path| {
        let file = std::fs::File::open(path).expect("a pack and its index");
        // SAFETY: nothing changes a benchmark's pack.
        #[allow(unsafe_code)]
        unsafe {
            memmap2::Mmap::map(&file).expect("it can be mapped")
        }
    };
    let (pack, index) = (map(pack), map(&pack.with_extension("idx")));
    let count = be32(&index, 8 + 255 * 4);
    let (small, large) = (8 + 1024 + count * 24, 8 + 1024 + count * 28);
    let mut offsets: Vec<usize> = (0..count)
        .map(|n| match be32(&index, small + n * 4) {
            far if far >> 31 != 0 => {
                let at = large + (far & 0x7fff_ffff) * 8;
                be32(&index, at) << 32 | be32(&index, at + 4)
            }
            near => near,
        })
        .collect();
    offsets.sort_unstable();
    offsets.push(pack.len() - 20);
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
                        let (mut at, end) = (offsets[n], offsets[n + 1]);
                        let first = pack[at];
                        let (mut size, mut shift) = ((first & 15) as usize, 4);
                        while pack[at] & 0x80 != 0 {
                            at += 1;
                            size |= ((pack[at] & 0x7f) as usize) << shift;
                            shift += 7;
                        }
                        at += 1;
                        match first >> 4 & 7 {
                            6 => {
                                while pack[at] & 0x80 != 0 {
                                    at += 1;
                                }
                                at += 1;
                            }
                            7 => at += 20,
                            _ => {}
                        }
                        // More of both than is needed, so that no entry is all slow end.
                        let (ahead, room) = ((end + 64).min(pack.len()), size + 320);
                        if buffer.len() < room {
                            buffer.resize(room * 2, 0);
                        }
                        inflater
                            .zlib_decompress(&pack[at..ahead], &mut buffer[..room])
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
    let only_floor = args.next().is_some_and(|what| what == "floor");
    let packs = std::fs::read_dir(git_dir.join("objects/pack")).expect("packs");
    let packs: Vec<PathBuf> = packs
        .map(|p| p.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "pack"))
        .collect();
    if only_floor {
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
