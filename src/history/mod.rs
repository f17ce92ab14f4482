//! Git's whole object database, searched in the delta domain.

mod border;
mod damage;
mod delta;
#[cfg(test)]
mod equal;
mod forest;
#[cfg(test)]
mod forge;
mod id;
mod idx;
mod inflate;
mod loose;
mod map;
mod objects;
mod pack;
mod search;
mod version;
mod walk;

pub use self::id::{Kind, ObjectId};

/// Engine trial.
pub fn trial(path: &std::path::Path, matcher: &crate::matcher::Matcher, threads: usize) -> Vec<(String, u64, String)> {
    let t = std::time::Instant::now();
    let pack = pack::Pack::open(path, 20).expect("x");
    println!("open {:?}", t.elapsed());
    let forest = forest::Forest::plant(&pack, None);
    println!("forest {:?} roots {}", t.elapsed(), forest.roots.len());
    let search = search::Search::new(matcher);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let all = walk::walk(&pack, &forest, &search, &|_| None, threads, &stop);
    println!("walk {:?} objects {:?} bytes {:?} damaged {}", t.elapsed(), all.iter().map(|r| r.objects).collect::<Vec<_>>(), all.iter().map(|r| r.bytes).sum::<u64>(), all.iter().map(|r| r.damaged.len()).sum::<usize>());
    all.into_iter().flat_map(|r| r.occurrences).map(|o| (pack.id(o.entry).map(|i| i.to_string()).unwrap_or_default(), o.at, o.hit.fingerprint.to_string())).collect()
}
