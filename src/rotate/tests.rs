//! The machine under everything that can happen to it.

use proptest::prelude::{Just, ProptestConfig, any, prop_assert_eq, prop_oneof, proptest};

use super::act::Act;
use super::plan::Strategy;
use super::run::Halt;
use super::world::{Bench, Fault, Work, was_killed};

const WAYS: [(Strategy, bool); 5] = [
    (Strategy::Graceful, false),
    (Strategy::Graceful, true),
    (Strategy::Immediate, false),
    (Strategy::Immediate, true),
    (Strategy::RevokeOnly, false),
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

#[test]
fn every_strategy_ends_with_key_a_dead_and_consumers_served() {
    for (strategy, old) in WAYS {
        let bench = Bench::new(strategy, old);
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
    for (strategy, old) in WAYS {
        let entries = Bench::new(strategy, old).process(None, Work::Drive).1;
        assert!(entries > 5);
        for first in 0..2 * entries {
            for second in (first % 11..2 * entries).step_by(11) {
                let bench = Bench::new(strategy, old);
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
    for (strategy, old) in WAYS {
        let entries = Bench::new(strategy, old).process(None, Work::Drive).1;
        for first in 0..2 * entries {
            let bench = Bench::new(strategy, old);
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
    #![proptest_config(ProptestConfig::with_cases(300))]

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
        let (strategy, old) = WAYS[way];
        let bench = Bench::new(strategy, old);
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
