//! What somebody answered for: markers in a key's line, and the baseline. Nothing is hidden
//! without being counted, and entries that hide nothing, or have expired, are named.

mod baseline;
mod marker;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::civil::Date;
use sha2::{Digest, Sha256};

pub use self::baseline::{Baseline, BaselineError, Entry, Member, Replaced};
pub use self::marker::{MARKER, Markers, PEERS, SHORTEST_PREFIX, marker, markers_count_in};
use crate::account::{self, Suppressions};
use crate::finding::{Place, Suppression};
use crate::secret::{Fingerprint, Masked};

/// An entry as a run uses it: its reason is fit to be shown, its use is noted.
struct Tracked {
    shown: account::Entry,
    active: bool,
    used: AtomicBool,
}

/// The SHA-256 of what a reader gives: what is acknowledged is known by it.
pub fn hash_of(mut reader: impl Read) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => hash.update(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Judges the findings of one run. Shared by all threads. The default one has no baseline and
/// heeds our own markers.
#[derive(Default)]
pub struct Suppressor {
    markers: Markers,
    keys: BTreeMap<Fingerprint, Tracked>,
    members: BTreeMap<String, ([u8; 32], Tracked)>,
}

impl Suppressor {
    /// `today` decides what has expired, `redact` makes the texts of the baseline fit to be shown
    /// (`Matcher::redact`).
    pub fn new(
        baseline: &Baseline,
        today: Date,
        markers: Markers,
        redact: &dyn Fn(&[u8]) -> Masked,
    ) -> Self {
        let track = |what: Masked, entry: &Entry| Tracked {
            shown: account::Entry {
                what,
                reason: redact(entry.reason.as_bytes()),
                until: entry.until.map(|until| until.to_string()),
            },
            active: entry.is_active(today),
            used: AtomicBool::new(false),
        };
        let keys = baseline
            .keys
            .iter()
            .map(|(print, entry)| (*print, track(Masked::vouched(print.to_string()), entry)));
        let members = baseline.members.iter().map(|(path, member)| {
            let tracked = track(redact(path.as_bytes()), &member.entry);
            (path.clone(), (member.sha256, tracked))
        });
        Self {
            markers,
            keys: keys.collect(),
            members: members.collect(),
        }
    }

    /// Why the key named by `fingerprint`, found at `place`, does not count; `None` if it does.
    /// `line` is the raw line around it (as much of it as is at hand), `None` where no marker
    /// counts whatever the place: in history and in archives.
    pub fn judge(
        &self,
        place: &Place,
        fingerprint: Fingerprint,
        line: Option<&[u8]>,
    ) -> Option<Suppression> {
        if let Some(tracked) = self.keys.get(&fingerprint) {
            tracked.used.store(true, Relaxed);
            if tracked.active {
                return Some(Suppression::Baseline {
                    reason: tracked.shown.reason.to_string(),
                });
            }
        }
        let line = line.filter(|_| markers_count_in(place))?;
        marker(line, fingerprint, self.markers)
    }

    /// Whether somebody acknowledged that a member can't be read, or what it is in: `members` is the
    /// way to it, and `file`, which has this SHA-256, what reports show: by whatever way the run came
    /// there. A file that is known by its bytes alone (an object of history) may have any name.
    pub fn acknowledges(&self, file: Option<&str>, members: &[String], sha256: &[u8; 32]) -> bool {
        let is_meant = |path: &str| {
            // Whoever acknowledged a container acknowledged what is in it.
            (0..=members.len()).any(|steps| {
                let way: String = members[..steps].iter().flat_map(|m| ["!", m]).collect();
                match (file, path.strip_suffix(&way)) {
                    (Some(file), Some(rest)) => {
                        let before = file.strip_suffix(rest);
                        before.is_some_and(|way| way.is_empty() || way.ends_with('/'))
                    }
                    (None, Some(rest)) => !rest.contains('!'),
                    (_, None) => false,
                }
            })
        };
        let mut acknowledged = false;
        for (_, (_, tracked)) in self
            .members
            .iter()
            .filter(|(path, (bytes, _))| bytes == sha256 && is_meant(path))
        {
            tracked.used.store(true, Relaxed);
            acknowledged |= tracked.active;
        }
        acknowledged
    }

    /// Whether any member is acknowledged: if not, nobody need hash what can't be read.
    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// The baseline's loose ends so far. `whole` says that the run read everything the baseline is
    /// about: only then can an entry be called unused.
    pub fn loose_ends(&self, whole: bool) -> Suppressions {
        let members = self.members.values().map(|(_, tracked)| tracked);
        let all: Vec<&Tracked> = self.keys.values().chain(members).collect();
        let shown = |wanted: &dyn Fn(&Tracked) -> bool| {
            let wanted = all.iter().filter(|tracked| wanted(tracked));
            wanted.map(|tracked| tracked.shown.clone()).collect()
        };
        Suppressions {
            unused: shown(&|tracked| whole && !tracked.used.load(Relaxed)),
            expired: shown(&|tracked| !tracked.active && tracked.used.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::ShownPath;
    use crate::rules::Template;
    use crate::secret::{Secret, mask};

    fn print(seed: u8) -> Fingerprint {
        Secret::new(vec![seed; 40]).fingerprint()
    }

    fn place(name: &str) -> Place {
        Place::File(ShownPath::new(name.into(), Masked::vouched(name)))
    }

    fn entry(reason: &str, until: Option<&str>) -> Entry {
        Entry {
            reason: reason.to_owned(),
            who: None,
            date: "2026-01-01".parse().unwrap(),
            until: until.map(|u| u.parse().unwrap()),
            line: 0,
        }
    }

    fn suppressor(baseline: &Baseline, markers: Markers) -> Suppressor {
        // Stands for the matcher, and masks long words only.
        let redact = |text: &[u8]| {
            let words = text.split(|b| *b == b' ').map(|word| match word.len() {
                0..100 => word.to_vec(),
                _ => mask(word),
            });
            Masked::vouched(words.collect::<Vec<_>>().join(&b' '))
        };
        let today = "2026-06-01".parse().unwrap();
        Suppressor::new(baseline, today, markers, &redact)
    }

    #[test]
    fn active_entries_hide_expired_ones_block_again_and_unused_ones_are_named() {
        let mut baseline = Baseline::default();
        baseline
            .allow(print(1), entry("fine", Some("2026-06-01")))
            .unwrap();
        baseline
            .allow(print(2), entry("was fine", Some("2026-05-31")))
            .unwrap();
        baseline.allow(print(3), entry("gone", None)).unwrap();
        let run = suppressor(&baseline, Markers::Own);
        let reason = "fine".to_owned();
        assert_eq!(
            run.judge(&place("a"), print(1), None),
            Some(Suppression::Baseline { reason })
        );
        assert_eq!(run.judge(&place("a"), print(2), None), None);
        assert_eq!(run.judge(&place("a"), print(4), None), None);
        let named = |all: &[account::Entry]| {
            let name = |entry: &account::Entry| entry.what.to_string();
            all.iter().map(name).collect::<Vec<_>>()
        };
        let ends = run.loose_ends(true);
        assert_eq!(named(&ends.expired), [print(2).to_string()]);
        assert_eq!(ends.expired[0].until.as_deref(), Some("2026-05-31"));
        assert_eq!(named(&ends.unused), [print(3).to_string()]);
        assert!(run.loose_ends(false).unused.is_empty());
        assert_eq!(run.loose_ends(false).expired, ends.expired);
    }

    #[test]
    fn markers_count_in_files_only_and_not_at_all_when_off() {
        let line = format!("k = … # skewer:allow={}", print(1));
        let judged = |markers, at: &Place, line: Option<&[u8]>| {
            let run = suppressor(&Baseline::default(), markers);
            run.judge(at, print(1), line).is_some()
        };
        let line = Some(line.as_bytes());
        assert!(judged(Markers::Own, &place(".env"), line));
        assert!(!judged(Markers::Off, &place(".env"), line));
        assert!(!judged(Markers::Own, &place("app.log"), line));
        assert!(!judged(Markers::Own, &Place::Stream("-".into()), line));
        assert!(!judged(Markers::Own, &place(".env"), None));
    }

    #[test]
    fn members_are_acknowledged_as_long_as_their_bytes_stay() {
        let mut baseline = Baseline::default();
        let member = Member {
            sha256: [5; 32],
            entry: entry("vendor's password", None),
        };
        baseline.members.insert("dist/a.zip!b".to_owned(), member);
        let run = suppressor(&baseline, Markers::Own);
        assert!(run.has_members());
        let asked = |file, members: &[&str], bytes| {
            let members: Vec<String> = members.iter().map(|m| (*m).to_owned()).collect();
            run.acknowledges(file, &members, &[bytes; 32])
        };
        let file = Some("dist/a.zip");
        assert!(!asked(file, &["b"], 6) && !asked(file, &[], 5) && !asked(file, &["c"], 5));
        assert!(!asked(Some("a.zip"), &["b"], 5) && !asked(None, &["c", "b"], 5));
        assert!(!asked(Some("redist/a.zip"), &["b"], 5));
        assert_eq!(run.loose_ends(true).unused.len(), 1);
        assert!(asked(Some("./dist/a.zip"), &["b"], 5) && asked(Some("/r/dist/a.zip"), &["b"], 5));
        assert!(asked(file, &["b"], 5) && asked(file, &["b", "c"], 5) && asked(None, &["b"], 5));
        assert!(run.loose_ends(true).unused.is_empty());
    }

    #[test]
    fn a_key_in_a_reason_is_not_shown() {
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(9).key;
        let mut baseline = Baseline::default();
        baseline
            .allow(print(1), entry(&format!("it is {key}"), None))
            .unwrap();
        let run = suppressor(&baseline, Markers::Own);
        let Some(Suppression::Baseline { reason }) = run.judge(&place("a"), print(1), None) else {
            panic!("not hidden");
        };
        assert!(reason.starts_with("it is sk-proj-") && !reason.contains(&key[20..60]));
    }
}
