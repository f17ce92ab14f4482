//! The one test that every store has to pass, whatever it can do.

use jiff::Timestamp;

use super::{GivesBack, Lease, Note, SKEW, Slot, Store, StoreError, Version};
use crate::http::scripted::Asked;
use crate::rules::Template;
use crate::secret::Secret;

/// Key number `seed`.
pub(crate) fn key(seed: u64) -> Secret {
    let template = Template::parse("sk-proj-{long:74,74}").unwrap();
    Secret::new(template.fill(seed).key.into())
}

/// The note of a rotation that brings `key`.
pub(crate) fn note(rotation: &str, key: &Secret) -> Note {
    Note {
        rotation: rotation.to_owned(),
        fingerprint: key.fingerprint(),
    }
}

fn lease(holder: &str, second: i64) -> Lease {
    Lease {
        holder: holder.to_owned(),
        until: at(second),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Checks stores that `make` makes: each new, with `key(1)` in the current slot and nothing else.
pub(crate) fn check<'a>(make: impl Fn() -> Box<dyn Store + 'a>) {
    tells_what_is_there(&*make());
    a_rotation(&*make());
    is_undone(&*make());
    others_are_in_the_way(&*make());
    refuses_what_does_not_fit(&*make());
    locks(&*make());
}

fn value(store: &dyn Store, slot: Slot) -> Option<Secret> {
    store.read(slot).unwrap().and_then(|held| held.value)
}

/// What the slot holds, as far as the store tells.
fn assert_holds(store: &dyn Store, slot: Slot, key: &Secret) {
    if store.capabilities().reads_back {
        assert_eq!(value(store, slot).as_ref(), Some(key), "{slot:?}");
    }
}

fn staged(store: &dyn Store, rotation: &str, key: &Secret) -> Note {
    let note = note(rotation, key);
    if store.capabilities().two_versions {
        store.stage(key, &note).unwrap();
    }
    note
}

fn tells_what_is_there(store: &dyn Store) {
    let before = store.preflight().unwrap();
    assert_eq!(before.pending, None);
    assert_eq!(store.preflight().unwrap(), before, "a look changes nothing");
    assert!(!store.place().is_empty());
    let held = store.read(Slot::Current).unwrap().unwrap();
    assert_eq!(held.version, before.current);
    if store.capabilities().reads_back {
        assert_eq!(held.value, Some(key(1)));
        assert_eq!(before.fingerprint, Some(key(1).fingerprint()));
    } else {
        assert_eq!(held.value, None, "it says that it can't read back");
    }
    for slot in [Slot::Next, Slot::Previous] {
        assert_eq!(store.read(slot).unwrap(), None);
    }
    store.forget("r0").unwrap(); // nothing to forget is no error
}

fn a_rotation(store: &dyn Store) {
    let can = store.capabilities();
    let over = store.preflight().unwrap().current;
    let b = key(2);
    let note = staged(store, "r1", &b);
    if can.two_versions {
        let again = store.stage(&b, &note).unwrap();
        let held = store.read(Slot::Next).unwrap().unwrap();
        assert_eq!((&held.version, held.note.as_ref()), (&again, Some(&note)));
        assert_holds(store, Slot::Next, &b);
        assert_holds(store, Slot::Current, &key(1));
        let seen = store.preflight().unwrap();
        assert_eq!(seen.pending.as_ref(), Some(&note));
        assert_eq!(seen.current, over, "staging leaves the current slot alone");
    }
    let promoted = store.promote(&b, &note, &over).unwrap();
    assert_holds(store, Slot::Current, &b);
    if can.reads_back {
        assert_ne!(promoted, over);
        assert_eq!(
            store.read(Slot::Current).unwrap().unwrap().version,
            promoted
        );
        assert_eq!(
            store.promote(&b, &note, &over).unwrap(),
            promoted,
            "again is as once"
        );
    }
    if can.gives_back == GivesBack::Itself {
        assert_holds(store, Slot::Previous, &key(1));
    }
    store.forget("r1").unwrap();
    store.forget("r1").unwrap();
    for slot in [Slot::Next, Slot::Previous] {
        assert_eq!(store.read(slot).unwrap(), None);
    }
    assert_holds(store, Slot::Current, &b);
    // And the next one.
    let over = store.preflight().unwrap().current;
    let c = key(3);
    let note = staged(store, "r2", &c);
    store.promote(&c, &note, &over).unwrap();
    assert_holds(store, Slot::Current, &c);
    store.forget("r2").unwrap();
}

fn is_undone(store: &dyn Store) {
    let over = store.preflight().unwrap().current;
    let b = key(2);
    let note = staged(store, "r1", &b);
    let promoted = store.promote(&b, &note, &over).unwrap();
    let a = match store.capabilities().gives_back {
        GivesBack::Itself => None,
        GivesBack::WithValue => {
            let nothing = store.restore(None, &note, &promoted);
            assert!(matches!(nothing, Err(StoreError::Unable { .. })));
            Some(key(1))
        }
    };
    let restored = store.restore(a.as_ref(), &note, &promoted).unwrap();
    assert_holds(store, Slot::Current, &key(1));
    if store.capabilities().reads_back {
        let again = store.restore(a.as_ref(), &note, &promoted).unwrap();
        assert_eq!(again, restored);
    }
    store.forget("r1").unwrap();
    assert_holds(store, Slot::Current, &key(1));
    assert_eq!(store.preflight().unwrap().pending, None);
}

fn others_are_in_the_way(store: &dyn Store) {
    if !store.capabilities().two_versions {
        return;
    }
    let over = store.preflight().unwrap().current;
    let theirs = staged(store, "theirs", &key(2));
    let ours = note("ours", &key(3));
    let occupied = |outcome: Result<Version, StoreError>| {
        assert!(
            matches!(&outcome, Err(StoreError::Occupied { rotation, .. }) if rotation == "theirs"),
            "{outcome:?}"
        );
    };
    occupied(store.stage(&key(3), &ours));
    occupied(store.promote(&key(3), &ours, &over));
    store.forget("ours").unwrap();
    assert_eq!(store.preflight().unwrap().pending, Some(theirs));
    assert_holds(store, Slot::Next, &key(2));
    store.forget("theirs").unwrap();
    store.stage(&key(3), &ours).unwrap();
    assert_holds(store, Slot::Current, &key(1));
}

fn refuses_what_does_not_fit(store: &dyn Store) {
    let can = store.capabilities();
    let over = store.preflight().unwrap().current;
    let b = key(2);
    if can.two_versions {
        let unstaged = store.promote(&b, &note("r1", &b), &over);
        assert!(matches!(unstaged, Err(StoreError::Refused { .. })));
    }
    let ours = staged(store, "r1", &b);
    let other = store.promote(&key(3), &ours, &over);
    assert!(matches!(other, Err(StoreError::Refused { .. })));
    if can.reads_back {
        let stale = store.promote(&b, &ours, &Version::new("another"));
        assert!(
            matches!(stale, Err(StoreError::Conflict { .. })),
            "{stale:?}"
        );
    }
    assert_holds(store, Slot::Current, &key(1));
    let promoted = store.promote(&b, &ours, &over).unwrap();
    if can.reads_back {
        let stale = store.restore(Some(&key(1)), &ours, &Version::new("another"));
        assert!(matches!(stale, Err(StoreError::Conflict { .. })));
        assert_holds(store, Slot::Current, &b);
        assert_eq!(
            store.read(Slot::Current).unwrap().unwrap().version,
            promoted
        );
    }
}

fn locks(store: &dyn Store) {
    let one = lease("one", 60);
    if !store.capabilities().locks {
        let unable = store.lock(&one, at(0));
        assert!(matches!(unable, Err(StoreError::Unable { .. })));
        return;
    }
    let locked_by = |outcome: Result<(), StoreError>, by: &str| {
        assert!(
            matches!(&outcome, Err(StoreError::Locked { holder, .. }) if holder == by),
            "{outcome:?}"
        );
    };
    store.lock(&one, at(0)).unwrap();
    store.lock(&one, at(0)).unwrap(); // again is as once
    locked_by(store.lock(&lease("two", 60), at(1)), "one");
    store.unlock("two").unwrap(); // not the holder: nothing happens
    locked_by(store.lock(&lease("two", 60), at(1)), "one");
    store.lock(&lease("one", 120), at(30)).unwrap();
    let grace = SKEW.as_secs();
    locked_by(store.lock(&lease("two", 300), at(119 + grace)), "one");
    store.lock(&lease("two", 300), at(120 + grace)).unwrap();
    locked_by(store.lock(&one, at(121)), "two");
    store.unlock("one").unwrap();
    locked_by(store.lock(&one, at(121)), "two");
    store.unlock("two").unwrap();
    store.unlock("two").unwrap();
    store.lock(&one, at(0)).unwrap();
    assert_holds(store, Slot::Current, &key(1));
}

/// What an imitation was asked and what it answered, to be held against the published shapes of
/// what it imitates by `tests/schemas/stores.py`.
#[derive(Default)]
pub(crate) struct Exchanges(Vec<String>);

impl Exchanges {
    /// Keeps one.
    pub(crate) fn keep(&mut self, asked: &Asked, answer: &[u8]) {
        let answer = String::from_utf8_lossy(answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        let target = asked.head.lines().find(|l| l.starts_with("x-amz-target: "));
        let line = serde_json::json!({
            "method": asked.method, "target": asked.target, "action": target,
            "asked": parse(&asked.body), "status": status, "answer": parse(body),
        });
        self.0.push(line.to_string());
    }

    /// Lays them out below `target/tmp/stores`.
    pub(crate) fn lay_out(benches: impl IntoIterator<Item = Self>, name: &str) {
        let lines: Vec<String> = benches.into_iter().flat_map(|bench| bench.0).collect();
        assert!(!lines.is_empty());
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/stores");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), lines.join("\n")).unwrap();
    }
}
