//! What an answer to a key says of the key. The status alone says nothing: a missing scope is a 401
//! as well, and a key without money gets the same status as one that asks too often.

use std::time::Duration;

use crate::openai::{Cause, Error, Probe, Refusal, Service};
use crate::secret::Secret;
use crate::verdict::{Evidence, Life, Unusable, Verdict, Why};

use super::why;

/// What one answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Enough for a verdict.
    Settled(Verdict),
    /// Refused as unknown: dead, if it stays so.
    Refused,
}

/// A key that is being probed.
pub(super) struct Probing {
    /// What was settled; until then it was refused.
    pub(super) verdict: Option<Verdict>,
    /// The last answer's headers.
    pub(super) names: Option<Evidence>,
    refusals: u32,
    first: Duration,
}

/// How a death is proven.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// So many refusals.
    pub answers: u32,
    /// This long apart.
    pub pause: Duration,
}

/// What the table of answers says (see the reference on liveness in the tests).
pub(super) fn read(answer: &Result<Probe, Error>) -> Answer {
    let error = match answer {
        Ok(_) => return Answer::Settled(Verdict::Live(Life::Works)),
        Err(error) => error,
    };
    match &error.cause {
        Cause::Refused(refusal) => refused(refusal, error),
        _ => Answer::Settled(Verdict::Unknown(why(error))),
    }
}

fn refused(refusal: &Refusal, error: &Error) -> Answer {
    let unknown = |word: &'static str, text: &str| {
        Verdict::Unknown(Why::new(word, format!("{text} ({error})")))
    };
    if !refusal.is_api {
        return Answer::Settled(Verdict::Unknown(why(error)));
    }
    if refusal.is_out_of_money() {
        return Answer::Settled(Verdict::Live(Life::NoMoney));
    }
    let message = refusal.message.text().to_ascii_lowercase();
    Answer::Settled(match (refusal.status, refusal.word()) {
        (401, "invalid_api_key") => return Answer::Refused,
        (401, "account_deactivated") => Verdict::Unusable(Unusable::Account),
        (401, "no_organization") => Verdict::Unusable(Unusable::Organisation),
        (401 | 403, "not_authorized_invalid_project") => Verdict::Unusable(Unusable::Project),
        (401 | 403, "ip_not_authorized") => Verdict::Live(Life::OtherAddress),
        (401 | 403, _) if message.contains("ip address") && message.contains("allowlist") => {
            Verdict::Live(Life::OtherAddress)
        }
        (401 | 403, _) if refusal.is_missing_permission() => Verdict::Live(Life::OutOfScope),
        (401, "mismatched_organization" | "mismatched_project") => unknown(
            "mismatch",
            "the API compares the key with a header that was not sent: something between adds one",
        ),
        (403, "model_not_found") => Verdict::Live(Life::OtherModels),
        (403, "unsupported_country_region_territory") => unknown(
            "region",
            "OpenAI answers nobody here; probe from another place",
        ),
        (429, _) => unknown("rate_limited", "asked too often, for too long"),
        (500.., _) => unknown("server", "the server is in trouble"),
        _ => unknown("unrecognised", "an answer that is not known"),
    })
}

impl Probing {
    pub(super) fn first(service: &Service, key: &Secret) -> Self {
        let mut probing = Self {
            verdict: None,
            names: None,
            refusals: 0,
            first: service.clock().uptime(),
        };
        probing.again(service, key);
        probing
    }

    /// One more answer, unless it is settled.
    pub(super) fn again(&mut self, service: &Service, key: &Secret) {
        if self.verdict.is_some() {
            return;
        }
        let mut answer = service.probe(key);
        if is_mismatch(&answer) {
            // No header of the kind is ever sent, so it may have been a slip.
            answer = service.probe(key);
        }
        self.names = names(&answer);
        match read(&answer) {
            Answer::Settled(verdict) => self.verdict = Some(verdict),
            Answer::Refused => self.refusals += 1,
        }
    }

    /// Whether it was let in just now.
    pub(super) fn is_let_in(&self) -> bool {
        self.verdict == Some(Verdict::Live(Life::Works))
    }

    /// What its refusals come to. `control`: whether another key was let in after each of them, if
    /// there was one to ask.
    pub(super) fn conclude(
        self,
        service: &Service,
        proof: Proof,
        control: Option<bool>,
    ) -> Verdict {
        if let Some(verdict) = self.verdict {
            return verdict;
        }
        if self.refusals < proof.answers {
            let text = format!("refused {} times, too few to be sure", self.refusals);
            return Verdict::Unknown(Why::new("stopped", text));
        }
        if control == Some(false) {
            let text = "refused, but a key that is known to live was refused as well: an outage, the address or the region";
            return Verdict::Unknown(Why::new("control_refused", text));
        }
        Verdict::Dead {
            answers: self.refusals,
            over: service.clock().uptime().saturating_sub(self.first),
            control: control.is_some(),
        }
    }
}

fn is_mismatch(answer: &Result<Probe, Error>) -> bool {
    let refusal = answer.as_ref().err().and_then(Error::refusal);
    refusal.is_some_and(|refusal| refusal.word().starts_with("mismatched_"))
}

fn names(answer: &Result<Probe, Error>) -> Option<Evidence> {
    let (organisation, project) = match answer {
        Ok(probe) => (&probe.organisation, &probe.project),
        Err(error) => {
            let refusal = error.refusal()?;
            (&refusal.organisation, &refusal.project)
        }
    };
    Some(Evidence::Headers {
        organisation: Some(organisation.clone()?),
        project: Some(project.clone()?),
    })
}
