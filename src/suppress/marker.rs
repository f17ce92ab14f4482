//! Markers in a key's own line. Ours names its key; the peers' hide whatever stands there, and are
//! honoured only on request.

use std::ffi::OsStr;

use memchr::memmem;

use crate::finding::{Place, Suppression};
use crate::secret::Fingerprint;

/// Our marker; the fingerprint follows it at once.
pub const MARKER: &str = "skewer:allow";

/// A marker may name its key by this many digits of its fingerprint or more: 48 bits, which no
/// other key in a repository shares by chance.
pub const SHORTEST_PREFIX: usize = 12;

/// Markers of other scanners, as their documentation gives them: gitleaks, betterleaks,
/// trufflehog, kingfisher, ggshield, detect-secrets (which ripsecrets reads too).
pub const PEERS: &[&str] = &[
    "gitleaks:allow",
    "betterleaks:allow",
    "trufflehog:ignore",
    "kingfisher:ignore",
    "kingfisher:allow",
    "ggignore",
    "pragma: allowlist secret",
    "pragma:allowlist secret",
    "pragma: whitelist secret",
];

/// Which markers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Markers {
    /// None: suppressions come from a base ref, so that a change can't excuse itself.
    Off,
    /// Ours.
    #[default]
    Own,
    /// Ours and the [`PEERS`]'.
    All,
}

/// The marker of `line` that hides the key named by `fingerprint`, if there is one.
pub fn marker(line: &[u8], fingerprint: Fingerprint, markers: Markers) -> Option<Suppression> {
    let found = match markers {
        Markers::Off => None,
        Markers::Own => own(line, fingerprint),
        Markers::All => own(line, fingerprint).or_else(|| {
            let here = |marker: &&&str| stands_in(line, marker.as_bytes());
            PEERS.iter().find(here).copied()
        }),
    };
    found.map(|marker| Suppression::Marker {
        marker: marker.to_owned(),
    })
}

fn own(line: &[u8], fingerprint: Fingerprint) -> Option<&'static str> {
    let whole = fingerprint.to_string();
    let names_it = memmem::find_iter(line, MARKER).any(|at| {
        let Some((b'=', digits)) = line[at + MARKER.len()..].split_first() else {
            return false;
        };
        // The whole word: a longer one, or one with other letters, is a mistake and names no key.
        let word = digits
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric())
            .count();
        (SHORTEST_PREFIX..=whole.len()).contains(&word)
            && whole.as_bytes()[..word].eq_ignore_ascii_case(&digits[..word])
    });
    names_it.then_some(MARKER)
}

/// Whether `marker` stands in `line` as a word of its own.
fn stands_in(line: &[u8], marker: &[u8]) -> bool {
    let goes_on = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    memmem::find_iter(line, marker).any(|at| {
        let before = at.checked_sub(1).and_then(|before| line.get(before));
        !goes_on(before) && !goes_on(line.get(at + marker.len()))
    })
}

/// Whether a marker counts at such a place. It does where somebody wrote the line and can answer
/// for it: in files of a tree and in the index, logs excepted (a line of a log holds what was sent
/// to the program, so a stranger could write the marker too). Streams and all else have none.
pub fn markers_count_in(place: &Place) -> bool {
    match place {
        Place::File(path) | Place::Staged { path, .. } => {
            !path.raw().file_name().is_some_and(is_log)
        }
        _ => false,
    }
}

/// A file's name says whether it is a log: it ends in `.log`, `.out`, `.err`, `.trace`, `.jsonl` or
/// `.ndjson`, or has `.log.`, `.log-`, `.out.` or `.err.` in it (rotated ones), in any case; or it
/// is called `syslog`, `messages` or `nohup.out`.
fn is_log(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_lowercase();
    let ends = [".log", ".out", ".err", ".trace", ".jsonl", ".ndjson"];
    let within = [".log.", ".log-", ".out.", ".err."];
    ends.iter().any(|end| name.ends_with(end))
        || within.iter().any(|part| name.contains(part))
        || ["syslog", "messages"].contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::ShownPath;
    use crate::rules::Template;
    use crate::secret::{Masked, Secret};
    use proptest::prelude::*;

    fn print(seed: u64) -> Fingerprint {
        let key = Template::parse("sk-proj-{long:74,74}").unwrap().fill(seed);
        Secret::new(key.key.into_bytes()).fingerprint()
    }

    fn hides(line: &str, seed: u64) -> bool {
        marker(line.as_bytes(), print(seed), Markers::Own).is_some()
    }

    #[test]
    fn a_marker_hides_the_key_it_names_and_no_other() {
        let text = format!("key = … # skewer:allow={}", print(1));
        assert!(hides(&text, 1));
        assert!(!hides(&text, 2));
        assert!(hides(&format!("{text} skewer:allow={}", print(2)), 2));
        assert!(hides(
            &text.to_uppercase().replace("SKEWER:ALLOW", MARKER),
            1
        ));
    }

    #[test]
    fn twelve_digits_are_enough_and_eleven_are_not() {
        let whole = print(1).to_string();
        assert!(hides(&format!("/* skewer:allow={}*/", &whole[..12]), 1));
        assert!(!hides(&format!("skewer:allow={}", &whole[..11]), 1));
        for wrong in ["", "=", "= ", "=zzzzzzzzzzzz", ":"] {
            assert!(!hides(&format!("skewer:allow{wrong}"), 1), "{wrong}");
        }
        assert!(!hides(&format!("skewer:allow={whole}0"), 1));
        assert!(!hides(&format!("skewer:allow={}x", &whole[..14]), 1));
    }

    #[test]
    fn peers_markers_count_on_request_only_and_as_words() {
        for peer in PEERS {
            let line = format!("x = 1  # {peer}");
            assert!(!hides(&line, 1));
            assert_eq!(
                marker(line.as_bytes(), print(1), Markers::All),
                Some(Suppression::Marker {
                    marker: (*peer).to_owned()
                })
            );
            assert_eq!(marker(line.as_bytes(), print(1), Markers::Off), None);
            let longer = format!("# {peer}ed");
            assert_eq!(marker(longer.as_bytes(), print(1), Markers::All), None);
        }
    }

    #[test]
    fn nothing_counts_when_markers_are_off() {
        let line = format!("skewer:allow={}", print(1));
        assert_eq!(marker(line.as_bytes(), print(1), Markers::Off), None);
    }

    #[test]
    fn logs_and_streams_have_no_markers() {
        let path = |name: &str| ShownPath::new(name.into(), Masked::vouched(name));
        let file = |name: &str| markers_count_in(&Place::File(path(name)));
        for log in [
            "a.log",
            "b/APP.LOG",
            "app.log.3",
            "x.log-2026",
            "nohup.out",
            "run.jsonl",
            "var/syslog",
        ] {
            assert!(!file(log), "{log}");
        }
        for plain in [".env", "src/log.rs", "catalog.py", "logs/readme.md", "blog"] {
            assert!(file(plain), "{plain}");
        }
        assert!(!markers_count_in(&Place::Stream("-".into())));
        assert!(!markers_count_in(&Place::FileName(path("a.txt"))));
        let blob = "0".repeat(40);
        assert!(markers_count_in(&Place::Staged {
            path: path(".env"),
            blob
        }));
    }

    proptest! {
        #[test]
        fn only_a_line_that_holds_the_prefix_hides(line in "[a-f0-9:= skewraow]{0,80}", seed in 0u64..4) {
            let prefix = format!("{MARKER}={}", &print(seed).to_string()[..SHORTEST_PREFIX]);
            prop_assert!(line.contains(&prefix) || !hides(&line, seed));
        }

        #[test]
        fn any_bytes_are_read(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            marker(&line, print(1), Markers::All);
        }
    }
}
