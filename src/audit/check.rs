//! Checking a trail, and reading it.

use std::io::{self, BufRead, Read};

use super::event::{Record, SCHEMA};
use super::trail::{Chain, GENESIS, Hash, Head, LONGEST_LINE};
use crate::secret::Masked;

/// A trail that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How far it goes.
    pub head: Head,
    /// Lines whose writer was ended in the middle, as the line behind each says.
    pub torn: u64,
    /// How many lines stand behind the head that it was held against.
    pub since: Option<u64>,
}

/// What is wrong with a trail.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// A line is no record of a trail.
    #[error("line {line} is no record of a trail: {problem}")]
    NotARecord {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A line does not follow the one before it.
    #[error(
        "line {line} does not follow the line before it: one of them was changed, moved, added or taken out"
    )]
    Broken {
        /// Which, from 1.
        line: u64,
    },
    /// It ends before the head.
    #[error(
        "the trail has {lines} lines, and had {expected} when the head was taken: its end was cut"
    )]
    Cut {
        /// How many there are.
        lines: u64,
        /// How many there were.
        expected: u64,
    },
    /// The head names another line.
    #[error("line {line} is not the one that the head names: the trail was written anew")]
    Rewritten {
        /// Which, from 1.
        line: u64,
    },
    /// The last line has no end.
    #[error("the last line, {line}, is torn: its writer was ended in the middle, or it was cut")]
    Torn {
        /// Which, from 1.
        line: u64,
    },
    /// The file can't be read.
    #[error("the trail can't be read: {0}")]
    Io(#[from] io::Error),
}

/// One line: with its number, and whether a line feed ends it.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) whole: bool,
}

/// The lines, none longer than a line may be.
pub(super) fn lines(mut from: impl BufRead) -> impl Iterator<Item = Result<Line, Flaw>> {
    let mut number = 0;
    std::iter::from_fn(move || {
        number += 1;
        let mut bytes = Vec::new();
        let read = (&mut from)
            .take(LONGEST_LINE as u64 + 1)
            .read_until(b'\n', &mut bytes);
        match read {
            Err(error) => Some(Err(error.into())),
            Ok(0) => None,
            Ok(length) if length > LONGEST_LINE => Some(Err(Flaw::NotARecord {
                line: number,
                problem: "it is longer than any".to_owned(),
            })),
            Ok(_) => {
                let whole = bytes.pop_if(|b| *b == b'\n').is_some();
                Some(Ok(Line {
                    number,
                    bytes,
                    whole,
                }))
            }
        }
    })
}

pub(super) fn parse(line: &[u8]) -> Result<Record, String> {
    // serde's words would quote what stands there.
    let wrong = |error: serde_json::Error| format!("column {}", error.column());
    let record: Record = serde_json::from_slice(line).map_err(wrong)?;
    match record.schema == SCHEMA {
        true => Ok(record),
        false => Err(format!("not {SCHEMA}")),
    }
}

/// Follows the chain from the first line to the last, and holds it against a head that was kept
/// elsewhere. Without one, a cut tail and a trail written anew can't be found.
///
/// # Errors
/// The first flaw.
pub fn check(from: impl BufRead, head: Option<&Head>) -> Result<Checked, Flaw> {
    let mut chain = Chain::default();
    let mut torn = 0;
    // Lines that are no records are a flaw, unless the next record says that it found them so.
    let mut unsure: Option<(Flaw, u64)> = None;
    let mut end = Head {
        lines: 0,
        hash: GENESIS,
    };
    let rewritten = |end: &Head| match head {
        Some(head) if head.lines == end.lines && head.hash != end.hash => {
            Err(Flaw::Rewritten { line: end.lines })
        }
        _ => Ok(()),
    };
    rewritten(&end)?;
    for line in lines(from) {
        let line = line?;
        if !line.whole {
            return Err(Flaw::Torn { line: line.number });
        }
        let record = parse(&line.bytes);
        if let Ok(record) = &record {
            let follows =
                (record.seq, record.prev, record.torn) == (line.number, chain.record, chain.torn());
            if !follows {
                let broken = Flaw::Broken { line: line.number };
                return Err(unsure.map_or(broken, |(flaw, _)| flaw));
            }
        }
        chain.step(&line.bytes, record.is_ok());
        match record {
            Ok(_) => torn += unsure.take().map_or(0, |(_, lines)| lines),
            Err(problem) => {
                let flaw = Flaw::NotARecord {
                    line: line.number,
                    problem,
                };
                unsure.get_or_insert((flaw, 0)).1 += 1;
            }
        }
        end = Head {
            lines: line.number,
            hash: Hash::of(&line.bytes),
        };
        rewritten(&end)?;
    }
    if let Some((flaw, _)) = unsure {
        return Err(flaw);
    }
    match head {
        Some(head) if head.lines > end.lines => Err(Flaw::Cut {
            lines: end.lines,
            expected: head.lines,
        }),
        head => Ok(Checked {
            head: end,
            torn,
            since: head.map(|head| end.lines - head.lines),
        }),
    }
}

/// The records of a trail, torn lines left out. Each line goes through `redact` first: whoever
/// changed a trail may have put a key into it.
pub fn records(
    from: impl BufRead,
    redact: impl Fn(&[u8]) -> Masked,
) -> impl Iterator<Item = Result<Record, Flaw>> {
    let mut torn: Option<Flaw> = None;
    let mut all = lines(from).fuse();
    std::iter::from_fn(move || {
        loop {
            let Some(line) = all.next() else {
                return torn.take().map(Err);
            };
            let line = match line {
                Ok(line) => line,
                Err(flaw) => return Some(Err(flaw)),
            };
            match parse(redact(&line.bytes).as_bytes()) {
                Ok(record) => {
                    return Some(match torn.take() {
                        Some(flaw) if record.torn.is_none() => Err(flaw),
                        _ => Ok(record),
                    });
                }
                Err(problem) => {
                    let flaw = Flaw::NotARecord {
                        line: line.number,
                        problem,
                    };
                    torn.get_or_insert(flaw);
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{Activity, Entity, EntityKind, Event, Outcome, Step, Trail, Who};

    fn event(step: &str) -> Event {
        Event::Step(Step {
            rotation: "r1".to_owned(),
            step: step.to_owned(),
            activity: Activity::Create,
            entity: Entity {
                kind: EntityKind::ApiKey,
                id: Masked::vouched("key_1"),
                name: None,
                key: None,
            },
            outcome: Outcome::Success,
            detail: Some(Masked::vouched("a\nline")),
            facts: BTreeMap::new(),
        })
    }

    fn trail(directory: &std::path::Path) -> Trail {
        Trail::new(directory.join("trail.jsonl"), Who::default())
    }

    fn written(lines: usize) -> (Vec<u8>, Vec<Head>) {
        let directory = tempfile::tempdir().unwrap();
        let trail = trail(directory.path());
        let heads = (0..lines)
            .map(|n| {
                trail
                    .append(Timestamp::UNIX_EPOCH, &event(&n.to_string()))
                    .unwrap()
            })
            .collect();
        (std::fs::read(trail.path()).unwrap(), heads)
    }

    #[test]
    fn a_trail_holds_against_each_of_its_heads() {
        let (bytes, heads) = written(5);
        for (n, head) in heads.iter().enumerate() {
            let checked = check(&bytes[..], Some(head)).unwrap();
            assert_eq!(checked.since, Some(4 - n as u64));
            assert_eq!(Some(&checked.head), heads.last());
            assert_eq!(head.to_string().parse::<Head>().unwrap(), *head);
        }
        let all: Vec<_> = records(&bytes[..], |line| Masked::vouched(line)).collect();
        assert_eq!(all.len(), 5);
        assert_eq!(all[4].as_ref().unwrap().event, event("4"));
        assert_eq!(check(&b""[..], None).unwrap().head.lines, 0);
    }

    #[test]
    fn a_cut_tail_and_a_new_start_are_found_with_a_head() {
        let (bytes, heads) = written(5);
        let cut = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        assert!(
            check(&bytes[..cut], None).is_ok(),
            "the chain alone can't tell"
        );
        assert!(matches!(
            check(&bytes[..cut], heads.last()),
            Err(Flaw::Cut {
                lines: 1,
                expected: 5
            })
        ));
        let directory = tempfile::tempdir().unwrap();
        let anew = trail(directory.path());
        for n in 0..7 {
            anew.append(Timestamp::UNIX_EPOCH, &event(&format!("other {n}")))
                .unwrap();
        }
        let anew = std::fs::read(anew.path()).unwrap();
        assert!(check(&anew[..], None).is_ok());
        assert!(matches!(
            check(&anew[..], heads.last()),
            Err(Flaw::Rewritten { line: 5 })
        ));
    }

    #[test]
    fn torn_lines_stay_and_are_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let trail = trail(directory.path());
        let append = || trail.append(Timestamp::UNIX_EPOCH, &event("x")).unwrap();
        let tear = |bytes: &[u8]| {
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .open(trail.path())
                .unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
        };
        let read = || std::fs::read(trail.path()).unwrap();
        append();
        tear(b"{\"schema\":\"skew");
        assert!(matches!(
            check(&read()[..], None),
            Err(Flaw::Torn { line: 2 })
        ));
        append();
        tear(b"{\n{\"s");
        append();
        let whole = read();
        std::fs::write(trail.path(), &whole[..whole.len() - 1]).unwrap();
        let head = append();
        assert_eq!(head.lines, 7);
        let checked = check(&read()[..], Some(&head)).unwrap();
        assert_eq!((checked.torn, checked.head), (3, head));
        // What is torn can't be changed either, nor what stands before it.
        for at in 0..read().len() {
            let mut changed = read();
            changed[at] ^= 1;
            assert!(check(&changed[..], Some(&head)).is_err(), "byte {at}");
        }
        assert_eq!(
            records(&read()[..], |line| Masked::vouched(line)).count(),
            4
        );
    }

    #[test]
    fn two_processes_share_a_trail() {
        let directory = tempfile::tempdir().unwrap();
        let trail = trail(directory.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        trail.append(Timestamp::UNIX_EPOCH, &event("x")).unwrap();
                    }
                });
            }
        });
        let bytes = std::fs::read(trail.path()).unwrap();
        assert_eq!(check(&bytes[..], None).unwrap().head.lines, 40);
    }

    #[test]
    fn garbage_is_refused() {
        for garbage in ["\n", "{}\n", "null\n", "x", "[1]\n[2]\n"] {
            assert!(check(garbage.as_bytes(), None).is_err(), "{garbage:?}");
            assert!(records(garbage.as_bytes(), |line| Masked::vouched(line)).any(|r| r.is_err()));
        }
        let long = vec![b'x'; 2 * LONGEST_LINE];
        assert!(matches!(
            check(&long[..], None),
            Err(Flaw::NotARecord { line: 1, .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever is done to the bytes, it is found; at the latest by the head.
        #[test]
        fn any_edit_is_found(
            at in any::<prop::sample::Index>(),
            length in 0usize..400,
            new in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let (bytes, heads) = written(4);
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            let mut changed = bytes.clone();
            changed.splice(at..end, new);
            prop_assume!(changed != bytes);
            // Lines behind the head are no edit, if they follow: random bytes never do.
            prop_assert!(check(&changed[..], heads.last()).is_err());
        }

        #[test]
        fn any_new_order_is_found(order in Just((0usize..5).collect::<Vec<_>>()).prop_shuffle()) {
            let (bytes, _) = written(5);
            let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
            let changed: Vec<u8> = order.iter().flat_map(|n| lines[*n].to_vec()).collect();
            prop_assert_eq!(check(&changed[..], None).is_ok(), changed == bytes);
        }
    }
}
