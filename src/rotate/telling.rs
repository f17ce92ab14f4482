//! A plan in words: what will be called, what can't be undone, what happens if something fails.

use super::organisation::Scopes;
use super::plan::{Making, Plan, Revoking, Strategy};
use super::prepare::{Look, Prepared};
use crate::rollout::Direction;

impl Look<'_> {
    pub(super) fn tell(self, plan: Plan) -> Prepared {
        let steps = self.steps(&plan);
        let waits = plan.waits;
        let proof = waits.proof.max(u64::from(waits.answers) * waits.between);
        let least_seconds = match plan.strategy {
            Strategy::Graceful => u64::from(waits.answers) * waits.between + waits.quiet + proof,
            Strategy::Immediate => u64::from(waits.answers) * waits.between + proof,
            Strategy::RevokeOnly => proof,
        };
        let mut final_steps = vec![match &plan.revoking {
            Revoking::Key => format!("deleting key A ({})", plan.key.id),
            Revoking::Account(account) => {
                format!(
                    "deleting service account {account} and with it key A ({})",
                    plan.key.id
                )
            }
        }];
        let mut warnings = self.warnings;
        if let Some(seconds) = plan.expire_a {
            final_steps.push(format!(
                "key A's end, {seconds} s after key B was proved: from then on there is no way back, and key A dies even if nobody goes on"
            ));
        }
        if let Some(seconds) = plan.expire_b {
            warnings.push(format!(
                "key B ends by itself {seconds} s after it was made: rotate it before"
            ));
        }
        if plan.strategy == Strategy::Immediate {
            final_steps
                .push("it comes before the rollout: there is no way back from there on".to_owned());
            let names: Vec<&str> = plan.consumers.iter().map(|one| one.name.as_str()).collect();
            warnings.push(format!(
                "these consumers fail from key A's deletion until they are rolled out: {}",
                names.join(", ")
            ));
        }
        if plan.fingerprint.is_none() {
            warnings.push(
                "key A's value is not at hand: nobody will try whether it still works afterwards"
                    .to_owned(),
            );
        }
        let on_failure = match plan.strategy {
            Strategy::RevokeOnly => {
                vec!["nothing else is changed: try again with `skewer rotate resume`".to_owned()]
            }
            _ => vec![
                format!(
                    "it pauses; `skewer rotate resume {}` goes on, `skewer rotate abort {}` gives key A back to all consumers and deletes key B",
                    plan.id, plan.id
                ),
                "a canary that does not become healthy is rolled back at once".to_owned(),
                match plan.expire_a {
                    Some(_) => "once key A has its end it can only go on".to_owned(),
                    None => "after key A's deletion it can only go on".to_owned(),
                },
            ],
        };
        Prepared {
            plan,
            steps,
            warnings,
            final_steps,
            on_failure,
            rights: self.rights,
            least_seconds,
        }
    }

    fn steps(&self, plan: &Plan) -> Vec<String> {
        let revoke = match &plan.revoking {
            Revoking::Key => format!(
                "list again, then delete key A ({}, {})",
                plan.key.id,
                plan.key.shown()
            ),
            Revoking::Account(account) => format!(
                "list again, then delete service account {account}, which owns key A ({}) and nothing else",
                plan.key.id
            ),
        };
        let prove = format!(
            "prove that key A is dead: not listed{}",
            match plan.fingerprint {
                Some(_) => format!(
                    ", refused {} times over {} s while key B is answered",
                    plan.waits.answers, plan.waits.proof
                ),
                None => String::new(),
            }
        );
        if plan.strategy == Strategy::RevokeOnly {
            return vec![revoke, prove];
        }
        let mut steps = Vec::new();
        if let Some(place) = &plan.lock {
            steps.push(format!("take the lock at {place}"));
        }
        steps.push(match &plan.making {
            Making::OnAccount { account, scopes } => format!(
                "create key B, {}, on service account {account}, with {}",
                plan.name,
                match scopes {
                    Scopes::All => "all scopes".to_owned(),
                    Scopes::Some(scopes) => format!("the scopes {}", scopes.join(", ")),
                }
            ),
            Making::NewAccount => format!("create service account {} with key B", plan.name),
            Making::Handed => {
                "take key B from standard input; it must be another key of the same project"
                    .to_owned()
            }
        });
        steps.extend(
            plan.places.iter().map(|place| {
                format!("write key B to the staging side of {place}, and read it back")
            }),
        );
        steps.push(format!(
            "ask with key B until it answers {} times in a row",
            plan.waits.answers
        ));
        if plan.strategy == Strategy::Immediate {
            steps.push(revoke.clone());
        }
        for canary in [true, false] {
            let places = plan.places_of(canary).into_iter();
            steps.extend(places.map(|place| format!("make key B the current one at {place}")));
            for consumer in plan.consumers_of(canary) {
                let calls = self
                    .rollouts
                    .get(&consumer)
                    .map(|stage| stage.rollout.calls(Direction::Forward));
                let calls = calls.unwrap_or_default().join("; ");
                steps.push(format!("roll {consumer} out: {calls}"));
            }
        }
        if plan.strategy == Strategy::Graceful {
            steps.push("check that all consumers are well".to_owned());
            steps.extend(plan.expire_a.map(|seconds| {
                format!("let key A end by itself in {seconds} s, whatever becomes of this")
            }));
            steps.push(format!(
                "wait until key A has stood still for {} s",
                plan.waits.quiet
            ));
            steps.push(revoke);
        }
        steps.push(prove);
        steps.push("tidy the stores up, and give the lock back".to_owned());
        steps
    }
}
