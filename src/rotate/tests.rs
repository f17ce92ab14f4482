//! The machine under everything that can happen to it.

use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};

use std::time::Duration;

use super::act::{Act, Entry, Fact, Phase};
use super::fake::Fault;
use super::journal::{Journal, JournalError, Summary};
use super::plan::Strategy;
use super::run::Halt;
use super::world::{Bench, Way, Work, was_killed};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::store::{Capabilities, CheckAndSet, GivesBack, Memory};

const fn way(strategy: Strategy, old: bool, expire_a: Option<u64>) -> Way {
    Way {
        strategy,
        old,
        expire_a,
    }
}

const WAYS: [Way; 6] = [
    way(Strategy::Graceful, false, None),
    way(Strategy::Graceful, false, Some(86_400)),
    way(Strategy::Graceful, true, None),
    way(Strategy::Immediate, false, None),
    way(Strategy::Immediate, true, None),
    way(Strategy::RevokeOnly, false, None),
];

/// Drives on, resuming whatever stops, as often as a patient person would.
fn finish(bench: &Bench) {
    let mut last = None;
    for _ in 0..30 {
        match bench.process(None, Work::Drive).0 {
            Ok(()) => return,
            Err(halt) => last = Some(halt),
        }
    }
    panic!("never ends: {last:?}");
}

/// Every pair of places, and thousands of random walks, take minutes.
fn is_exhaustive() -> bool {
    std::env::var_os("SKEWER_EXHAUSTIVE").is_some()
}

#[test]
fn every_strategy_ends_with_key_a_dead_and_consumers_served() {
    for way in WAYS {
        let strategy = way.strategy;
        let bench = Bench::of(way);
        let (outcome, _) = bench.process(None, Work::Drive);
        outcome.unwrap();
        bench.assert_ended(strategy);
        assert_eq!(
            bench.organisation.deleted().len(),
            1,
            "only key A is deleted"
        );
        if strategy != Strategy::Immediate {
            assert_eq!(*bench.failed.lock().unwrap(), 0);
        }
    }
}

#[test]
fn a_process_killed_at_any_entry_twice_ends_well() {
    let step = if is_exhaustive() { 1 } else { 11 };
    for way in WAYS {
        let strategy = way.strategy;
        let entries = Bench::of(way).process(None, Work::Drive).1;
        assert!(entries > 5);
        for first in 0..2 * entries {
            for second in (first % step as u64..2 * entries).step_by(step) {
                let bench = Bench::of(way);
                let (outcome, _) = bench.process(Some(first), Work::Drive);
                assert!(was_killed(&outcome), "{first}: {outcome:?}");
                let _ = bench.process(Some(second), Work::Drive);
                finish(&bench);
                bench.assert_ended(strategy);
                if strategy == Strategy::Graceful {
                    assert_eq!(
                        *bench.failed.lock().unwrap(),
                        0,
                        "killed at {first}, {second}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_rotation_killed_at_any_entry_can_be_undone_until_key_a_is_deleted() {
    for way in WAYS {
        let strategy = way.strategy;
        let entries = Bench::of(way).process(None, Work::Drive).1;
        for first in 0..2 * entries {
            let bench = Bench::of(way);
            let _ = bench.process(Some(first), Work::Drive);
            let (outcome, _) = bench.process(None, Work::Abort);
            match outcome {
                Ok(()) => assert!(bench.organisation.live().contains(&bench.key_a)),
                Err(Halt::Human(_)) => finish(&bench),
                Err(other) => panic!("{other:?}"),
            }
            bench.assert_ended(strategy);
        }
    }
}

#[test]
fn the_answer_to_a_creation_that_was_lost_leaves_no_orphan() {
    for old in [false, true] {
        for fault in [Fault::Before, Fault::Unsure, Fault::After, Fault::Late] {
            let calls = Bench::new(Strategy::Graceful, old);
            calls.process(None, Work::Drive).0.unwrap();
            for call in 1..=calls.organisation.calls() {
                let bench = Bench::new(Strategy::Graceful, old);
                bench.organisation.order(call, fault);
                finish(&bench);
                bench.assert_ended(Strategy::Graceful);
                assert_eq!(*bench.failed.lock().unwrap(), 0);
            }
        }
    }
}

#[test]
fn a_key_that_somebody_still_uses_is_not_revoked_until_a_person_says_so() {
    let bench = Bench::new(Strategy::Graceful, false);
    bench.organisation.use_key(&bench.plan.key.id, 7);
    let (outcome, _) = bench.process(None, Work::Drive);
    let Err(Halt::Human(why)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        why.contains("7 requests") && why.contains("gpt-5 7"),
        "{why}"
    );
    assert!(bench.organisation.live().contains(&bench.key_a));
    bench.organisation.use_key(&bench.plan.key.id, 7);
    bench.process(None, Work::Overrule).0.unwrap();
    finish(&bench);
    bench.assert_ended(Strategy::Graceful);
}

/// The entries that tell of key A's end, and where key B was proved.
fn expiry_of(bench: &Bench) -> (Option<usize>, Option<usize>) {
    let entries = bench.summary().entries;
    let at = |fits: &dyn Fn(&Entry) -> bool| entries.iter().position(fits);
    let expire = at(&|one| matches!(one.act, Act::Expire { .. }));
    let proved = at(&|one| one.act == Act::Validate && matches!(one.phase, Phase::Done { .. }));
    (expire, proved)
}

#[test]
fn key_a_is_given_its_end_once_and_only_after_key_b_was_proved() {
    let bench = Bench::of(WAYS[1]);
    bench.process(None, Work::Drive).0.unwrap();
    bench.assert_ended(Strategy::Graceful);
    let (expire, proved) = expiry_of(&bench);
    assert!(proved.unwrap() < expire.unwrap());
    assert_eq!(bench.organisation.state().expiries, 1);
    // An answer that was lost is no reason to begin the time anew.
    for fault in [Fault::Unsure, Fault::After, Fault::Before] {
        let calls = bench.organisation.calls();
        for call in 1..=calls {
            let bench = Bench::of(WAYS[1]);
            bench.organisation.order(call, fault);
            finish(&bench);
            bench.assert_ended(Strategy::Graceful);
            assert_eq!(bench.organisation.state().expiries, 1, "{call} {fault:?}");
        }
    }
    for other in [WAYS[0], WAYS[3], WAYS[5]] {
        let bench = Bench::of(other);
        bench.process(None, Work::Drive).0.unwrap();
        assert_eq!(bench.organisation.state().expiries, 0);
    }
}

#[test]
fn key_a_dies_though_nobody_goes_on_and_is_not_given_back() {
    let bench = Bench::of(WAYS[1]);
    bench.organisation.use_key(&bench.plan.key.id, 7);
    let (outcome, _) = bench.process(None, Work::Drive);
    let Err(Halt::Human(why)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(why.contains("ends by itself all the same"), "{why}");
    let Err(Halt::Human(why)) = bench.process(None, Work::Abort).0 else {
        panic!("an undo would give consumers a key that ends");
    };
    assert!(why.contains("can't be taken back"), "{why}");
    assert!(bench.organisation.live().contains(&bench.key_a));
    bench.clock.sleep(Duration::from_secs(86_400)).unwrap();
    assert!(!bench.organisation.live().contains(&bench.key_a));
    bench.process(None, Work::Overrule).0.unwrap();
    finish(&bench);
    let notes = super::memory::Memory::of(&bench.summary().entries).notes;
    assert!(
        notes.iter().any(|note| note.contains("not in the listing")),
        "{notes:?}"
    );
}

#[test]
fn an_end_that_is_refused_is_told_and_stops_nothing() {
    let bench = Bench::of(WAYS[1]);
    bench.organisation.state().refuses_expiry = true;
    bench.process(None, Work::Drive).0.unwrap();
    bench.assert_ended(Strategy::Graceful);
    let notes = super::memory::Memory::of(&bench.summary().entries).notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("does not end by itself: it knows no expiry"))
    );
}

#[test]
fn those_that_nobody_asked_for_go_one_at_a_time_and_so_many_a_day() {
    let bench = Bench::new(Strategy::Graceful, false);
    let mut journal = bench.journal.lock().unwrap();
    let plan = |id: &str, key: &str| {
        let mut plan = bench.plan.clone();
        (plan.id, plan.key.id) = (id.to_owned(), key.to_owned());
        plan
    };
    let close = |journal: &mut Journal, id: &str| {
        let entry = Entry {
            at: 0,
            act: Act::Close,
            phase: Phase::Done {
                fact: Fact::default(),
            },
        };
        journal.write(id, &entry).unwrap();
    };
    let day = 86_400;
    journal
        .begin_automatic(&plan("a", "key_a"), 1000, 2)
        .unwrap();
    let busy = journal.begin_automatic(&plan("b", "key_b"), 1001, 2);
    assert!(matches!(busy, Err(JournalError::OneAtATime(id)) if id == "a"));
    close(&mut journal, "a");
    journal
        .begin_automatic(&plan("b", "key_b"), 1001, 2)
        .unwrap();
    close(&mut journal, "b");
    let spent = journal.begin_automatic(&plan("c", "key_c"), 1002, 2);
    assert!(matches!(spent, Err(JournalError::Limit(2))));
    // A clock that was set back frees nothing.
    let spent = journal.begin_automatic(&plan("c", "key_c"), 0, 2);
    assert!(matches!(spent, Err(JournalError::Limit(2))));
    journal
        .begin_automatic(&plan("c", "key_c"), 1000 + day, 2)
        .unwrap();
    close(&mut journal, "c");
    // What a person asks for is not counted, but nothing starts by itself beside it.
    journal.begin(&plan("d", "key_d"), 1000 + 2 * day).unwrap();
    let busy = journal.begin_automatic(&plan("e", "key_e"), 1000 + 2 * day, 2);
    assert!(matches!(busy, Err(JournalError::OneAtATime(id)) if id == "d"));
}

#[test]
fn key_b_is_handed_over_once_while_it_waits() {
    use crate::store::Store;

    let bench = Bench::new(Strategy::Graceful, false);
    bench.organisation.use_key(&bench.plan.key.id, 7);
    let _ = bench.process(None, Work::Drive);
    let summary = bench.summary();
    let store = bench.places["main"].inner();
    let hand_over = |summary: &Summary, place: &str| {
        super::handover::hand_over(summary, place, store, Duration::from_secs(60))
    };
    let token = hand_over(&summary, "main").unwrap();
    let value = store.unwrap_token(&token).unwrap();
    assert_eq!(Some(value), store.handed_out(), "key B is promoted by now");
    assert_eq!(store.unwrap_token(&token), None, "once");
    let said = |outcome: Result<_, super::NoHandOver>| outcome.unwrap_err().to_string();
    assert!(said(hand_over(&summary, "elsewhere")).contains("its places are canary, main"));
    // Before it was written there, and after the end.
    let begun = Summary {
        entries: summary.entries[..2].to_vec(),
        ..summary
    };
    assert!(said(hand_over(&begun, "main")).contains("no key B waits"));
    bench.process(None, Work::Overrule).0.unwrap();
    finish(&bench);
    assert!(said(hand_over(&bench.summary(), "main")).contains("no key B waits"));
    assert!(store.wraps());
}

#[test]
fn three_stages_are_moved_one_after_the_other() {
    let (bench, moves) = Bench::in_three_stages("nobody");
    bench.process(None, Work::Drive).0.unwrap();
    bench.assert_ended(Strategy::Graceful);
    let moves = moves.lock().unwrap().clone();
    assert_eq!(
        moves,
        [
            "api/canary Forward",
            "api/quarter Forward",
            "api/rest Forward"
        ]
    );
}

#[test]
fn a_stage_in_the_middle_that_is_not_well_stops_the_next_and_all_come_back() {
    let (bench, moves) = Bench::in_three_stages("api/quarter");
    let (outcome, _) = bench.process(None, Work::Drive);
    assert!(
        matches!(&outcome, Err(Halt::Refused { why, .. }) if why.contains("does not like")),
        "{outcome:?}"
    );
    bench.process(None, Work::Abort).0.unwrap();
    bench.assert_ended(Strategy::Graceful);
    assert!(bench.organisation.live().contains(&bench.key_a));
    assert_eq!(*bench.failed.lock().unwrap(), 0);
    let moves = moves.lock().unwrap().clone();
    assert_eq!(
        moves,
        [
            "api/canary Forward",
            "api/quarter Forward",
            "api/canary Back",
            "api/quarter Back"
        ]
    );
}

/// Stores that give no value back: GitHub's, which tells nothing of what it holds, and a Swarm's,
/// which tells whose it is.
fn silent(two_versions: bool) -> impl Fn(Secret) -> Memory {
    move |current| {
        let can = Capabilities {
            two_versions,
            reads_back: false,
            gives_back: GivesBack::WithValue,
            check_and_set: CheckAndSet::Narrow,
            locks: true,
        };
        Memory::with(current, can)
    }
}

#[test]
fn stores_that_give_nothing_back_are_rotated_and_undone_from_anywhere() {
    for two_versions in [false, true] {
        let new = || Bench::with(WAYS[0], &silent(two_versions));
        let whole = new();
        let entries = whole.process(None, Work::Drive).1;
        whole.assert_ended(Strategy::Graceful);
        for entry in 0..entries {
            for abort in [false, true] {
                let bench = new();
                assert!(was_killed(&bench.process(Some(entry), Work::Drive).0));
                let went_on = !abort && bench.process(None, Work::Drive).0.is_ok();
                // Key B's value may be lost while one store hands it out: then there is only back.
                if !went_on && bench.process(None, Work::Abort).0.is_err() {
                    finish(&bench); // key A is gone already
                }
                bench.assert_ended(Strategy::Graceful);
                assert_eq!(*bench.failed.lock().unwrap(), 0, "killed at {entry}");
            }
        }
    }
}

#[test]
fn answers_lost_by_stores_that_give_nothing_back_are_no_end() {
    use crate::store::{Call, Fault};
    for two_versions in [false, true] {
        for call in Call::ALL {
            for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
                let bench = Bench::with(WAYS[0], &silent(two_versions));
                bench.places["main"].order(call, 0, fault, 2);
                bench.process(None, Work::Drive).0.unwrap();
                bench.assert_ended(Strategy::Graceful);

                // The way back, with the canary moved.
                let bench = Bench::with(WAYS[0], &silent(two_versions));
                bench.places["main"].order(Call::Promote, 0, Fault::Denied, 1);
                assert!(bench.process(None, Work::Drive).0.is_err());
                bench.places["canary"].order(call, 0, fault, 2);
                bench.process(None, Work::Abort).0.unwrap();
                bench.assert_ended(Strategy::Graceful);
                assert_eq!(*bench.failed.lock().unwrap(), 0, "{call:?} {fault:?}");
            }
        }
    }
}

/// Driven until the canary hands key B out and its consumer has it.
fn with_the_canary_moved() -> Bench {
    let bench = Bench::new(Strategy::Graceful, false);
    bench.places["main"].order(
        crate::store::Call::Promote,
        0,
        crate::store::Fault::Denied,
        1,
    );
    assert!(bench.process(None, Work::Drive).0.is_err());
    assert_ne!(
        bench.places["canary"].inner().handed_out(),
        Some(bench.key_a.clone())
    );
    bench
}

#[test]
fn a_store_that_denies_what_it_hands_out_is_asked_again_before_it_counts_as_restored() {
    for times in 1..4 {
        let bench = with_the_canary_moved();
        let mismatch = crate::store::Fault::Mismatch;
        bench.places["canary"].order(crate::store::Call::Read, 1, mismatch, times);
        bench.process(None, Work::Abort).0.unwrap();
        bench.assert_ended(Strategy::Graceful);
        assert_eq!(*bench.failed.lock().unwrap(), 0, "{times}");
    }
}

#[test]
fn a_place_that_hands_key_b_out_again_is_restored_again_with_its_consumers() {
    let entries = with_the_canary_moved().process(None, Work::Abort).1;
    for death in 0..entries {
        for second in 0..entries {
            let bench = with_the_canary_moved();
            let key_b = bench.places["canary"].inner().handed_out().unwrap();
            let _ = bench.process(Some(death), Work::Abort);
            let live = bench.organisation.live().contains(&key_b);
            if live {
                bench.places["canary"].inner().meddle(key_b.clone());
                *bench.held["first"].lock().unwrap() = key_b;
            }
            let _ = bench.process(Some(second), Work::Abort);
            finish(&bench);
            bench.assert_ended(Strategy::Graceful);
            assert_eq!(*bench.failed.lock().unwrap(), 0, "{death} {second}");
        }
    }
}

#[test]
fn what_somebody_else_wrote_is_not_undone_and_told() {
    let bench = with_the_canary_moved();
    let (_, theirs) = bench.organisation.add_key("theirs", "sa_other");
    bench.places["canary"].inner().meddle(theirs.clone());
    bench.process(None, Work::Abort).0.unwrap();
    assert_eq!(bench.places["canary"].inner().handed_out(), Some(theirs));
    let notes = super::memory::Memory::of(&bench.summary().entries).notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("canary hands out neither")),
        "{notes:?}"
    );
}

#[test]
fn two_rotations_of_one_key_exclude_each_other() {
    let bench = Bench::new(Strategy::Graceful, false);
    let mut journal = bench.journal.lock().unwrap();
    journal.begin(&bench.plan, 0).unwrap();
    let mut other = bench.plan.clone();
    other.id = "89efcdab".to_owned();
    let refused = journal.begin(&other, 0).unwrap_err();
    assert!(refused.to_string().contains("0123abcd"), "{refused}");
}

#[test]
fn the_journal_holds_no_key() {
    let bench = Bench::new(Strategy::Graceful, false);
    bench.process(None, Work::Drive).0.unwrap();
    let summary = bench.summary();
    let text = format!("{summary:?}");
    let values = bench
        .organisation
        .live()
        .into_iter()
        .chain([bench.key_a.clone()]);
    for value in values {
        let whole = String::from_utf8(value.expose().to_vec()).unwrap();
        assert!(!text.contains(&whole[10..40]), "the journal holds a key");
    }
    assert!(summary.entries.iter().any(|entry| entry.act == Act::Prove));
}

fn fault() -> impl proptest::strategy::Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Before),
        Just(Fault::Unsure),
        Just(Fault::After),
        Just(Fault::Late)
    ]
}

fn store_fault() -> impl proptest::strategy::Strategy<Value = crate::store::Fault> {
    use crate::store::Fault;
    prop_oneof![
        Just(Fault::BeforeCommit),
        Just(Fault::AfterCommit),
        Just(Fault::Conflict),
        Just(Fault::Denied),
        Just(Fault::Mismatch)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_exhaustive() { 20_000 } else { 300 }))]

    /// Random faults at the organisation and in the stores, deaths and undos: the end is always
    /// one live key, no orphan, no failed request, nobody else's key touched.
    #[test]
    fn random_faults_end_well(
        way in 0..WAYS.len(),
        faults in proptest::collection::btree_map(1u64..60, fault(), 0..6),
        stores in proptest::collection::vec((0usize..8, 0usize..6, store_fault(), 1usize..3, any::<bool>()), 0..4),
        deaths in proptest::collection::vec(0u64..70, 0..4),
        abort in proptest::option::of(0usize..4),
    ) {
        let strategy = WAYS[way].strategy;
        let bench = Bench::of(WAYS[way]);
        for (call, fault) in faults {
            bench.organisation.order(call, fault);
        }
        for (call, pass, fault, times, main) in stores {
            let place = if main { "main" } else { "canary" };
            if let Some(store) = bench.places.get(place) {
                store.order(crate::store::Call::ALL[call], pass, fault, times);
            }
        }
        for (number, death) in deaths.into_iter().enumerate() {
            let _ = bench.process(Some(death), Work::Drive);
            if abort == Some(number) {
                let _ = bench.process(None, Work::Abort);
            }
        }
        finish(&bench);
        bench.assert_ended(strategy);
        if strategy == Strategy::Graceful {
            prop_assert_eq!(*bench.failed.lock().unwrap(), 0);
        }
    }
}
