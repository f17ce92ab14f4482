//! From a key to what is known of it: whose it is (without using it), whether it lives (by one free
//! call, when asked), and what it did since it leaked.
//!
//! A key goes to nobody but the configured API, and only for a probe. What could not be found out
//! stays unknown, with its reason; see `verdict` for the rule that makes an identity.

mod cache;
mod exposing;
mod glance;
mod inventory;
mod preflight;
mod probing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use self::exposing::Exposed;
pub use self::glance::{Glance, glance};
pub use self::inventory::{Inventory, Listed, Organisation};
pub use self::preflight::lacks;
use self::probing::Probing;
pub use self::probing::Proof;
use crate::http::Trouble;
use crate::openai::{Cause, Error, News, Service};
use crate::secret::{Fingerprint, Masked, Secret};
use crate::verdict::{
    Check, Checks, Evidence, Listing, Match, RecordKind, Seen, Since, Verdict, Why, decide,
};

/// A key that was found.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its name.
    pub fingerprint: Fingerprint,
    /// The key.
    pub key: &'a Secret,
    /// Its rule's kind: only OpenAI's own keys are asked about.
    pub kind: &'a str,
    /// Since when strangers can read it.
    pub since: Option<Since>,
}

/// How to find out.
pub struct Settings<'a> {
    /// By whom to probe; `None`: no key is used.
    pub probe: Option<&'a Service>,
    /// A key that is known to live: if it is refused, too, nothing is proven.
    pub control: Option<&'a Secret>,
    /// What proves that a key is dead.
    pub proof: Proof,
    /// How old a cached listing may be.
    pub cache_age: Duration,
    /// How long `last_used_at` may take to move; zero: it is no witness.
    pub last_used_lag: Duration,
    /// How far back usage is asked for.
    pub longest_window: Duration,
    /// How long usage may take to show: what a report says of it.
    pub usage_lag: Duration,
    /// A record's id, as the operator typed it.
    pub typed: Option<&'a str>,
}

/// What each of OpenAI's own keys has in it (`OpenAI`, in base64).
const MARKER: &[u8] = b"T3BlbkFJ";

/// Whether this is a key that OpenAI lists and lets in. Its rule's word is not enough: rules come
/// with repositories, too, and no other secret is to be sent to OpenAI.
fn is_askable(subject: &Subject<'_>) -> bool {
    let key = subject.key.expose();
    matches!(
        subject.kind,
        "project" | "service_account" | "user" | "admin"
    ) && key.starts_with(b"sk-")
        && memchr::memmem::find(key, MARKER).is_some()
}

/// Finds out about each key, once. Never fails: what went wrong is a reason to know less.
pub fn check(
    organisations: &[Organisation],
    subjects: &[Subject<'_>],
    settings: &Settings<'_>,
) -> Checks {
    let mut distinct: BTreeMap<Fingerprint, Subject<'_>> = BTreeMap::new();
    for subject in subjects {
        let known = distinct.entry(subject.fingerprint).or_insert(*subject);
        known.since = known.since.into_iter().chain(subject.since).min();
    }
    let askable: Vec<Subject<'_>> = distinct
        .values()
        .filter(|subject| is_askable(subject))
        .copied()
        .collect();
    let inventories: Vec<Inventory> = match askable.is_empty() {
        true => Vec::new(),
        false => organisations
            .iter()
            .map(|organisation| organisation.inventory(settings.cache_age))
            .collect(),
    };
    let mut found: Vec<Match> = askable
        .iter()
        .map(|subject| identify(&inventories, subject))
        .collect();
    let verdicts = match settings.probe {
        Some(service) => {
            let (verdicts, names) = probe(service, &askable, settings);
            for (found, names) in found.iter_mut().zip(&names) {
                if let Some(names) = names {
                    hear(found, names);
                }
            }
            witness_by_use(
                organisations,
                service,
                &askable,
                &mut found,
                &verdicts,
                settings,
            );
            verdicts
        }
        None => vec![Verdict::not_probed(); askable.len()],
    };
    if let Some(id) = settings.typed {
        found
            .iter_mut()
            .for_each(|found| hear(found, &Evidence::Typed(id.to_owned())));
    }
    let mut keys: BTreeMap<Fingerprint, Check> = BTreeMap::new();
    for ((subject, identity), verdict) in askable.iter().zip(found).zip(verdicts) {
        let check = Check {
            verdict,
            identity,
            since: subject.since,
            exposure: None,
        };
        keys.insert(subject.fingerprint, check);
    }
    for subject in distinct.values().filter(|s| !is_askable(s)) {
        let why = Why::new(
            "not_askable",
            "only OpenAI's own API keys can be asked about",
        );
        let check = Check {
            verdict: Verdict::Unknown(why.clone()),
            identity: Match::unknown(why),
            since: subject.since,
            exposure: None,
        };
        keys.insert(subject.fingerprint, check);
    }
    for organisation in organisations {
        expose(organisation, &mut keys, settings);
    }
    Checks {
        keys,
        probed: settings.probe.is_some(),
        listings: inventories.iter().map(Inventory::info).collect(),
        notes: Vec::new(),
    }
}

/// Matches a key with all rows of all organisations: the least whole listing decides.
fn identify(inventories: &[Inventory], subject: &Subject<'_>) -> Match {
    if inventories.is_empty() {
        let why = Why::new(
            "no_admin_key",
            "no organisation was asked: there is no admin key",
        );
        return Match::unknown(why);
    }
    let key = subject.key.expose();
    let rows = inventories.iter().flat_map(|i| i.fitting(key));
    let rank = |listing: &&Listing| match listing {
        Listing::Complete => 0,
        Listing::Visible => 1,
        Listing::Incomplete(_) => 2,
    };
    let listing = inventories.iter().map(|i| &i.listing).max_by_key(rank);
    let found = decide(Seen {
        rows: rows.collect(),
        listing: listing.cloned().unwrap_or(Listing::Complete),
    });
    match found {
        // Such a key belongs to a user and to no project, and nobody says that it is listed.
        Match::None if subject.kind == "user" => Match::unknown(Why::new(
            "user_key",
            "no row fits, but a user's key of the old kind belongs to no project and need not be listed",
        )),
        found => found,
    }
}

fn hear(found: &mut Match, evidence: &Evidence) {
    let held = std::mem::replace(found, Match::None);
    *found = held.hear(evidence);
}

/// Probes each key, and those that are refused again until that proves something.
fn probe(
    service: &Service,
    subjects: &[Subject<'_>],
    settings: &Settings<'_>,
) -> (Vec<Verdict>, Vec<Option<Evidence>>) {
    let total = subjects.len() as u64;
    let mut all: Vec<Probing> = Vec::with_capacity(subjects.len());
    for (done, subject) in subjects.iter().enumerate() {
        service.progress().tell(News::Step {
            what: "keys probed",
            done: done as u64,
            total,
            left: Duration::ZERO,
        });
        all.push(Probing::first(service, subject.key));
    }
    let alive = all.iter().position(Probing::is_let_in);
    let control = settings.control.or(alive.map(|at| subjects[at].key));
    let mut let_in = control.map(|_| true);
    for _ in 1..settings.proof.answers {
        if all.iter().all(|probing| probing.verdict.is_some()) {
            break;
        }
        if service.clock().sleep(settings.proof.pause).is_err() {
            break;
        }
        for (probing, subject) in all.iter_mut().zip(subjects) {
            probing.again(service, subject.key);
        }
        if let Some(control) = control {
            let ok = service.probe(control).is_ok();
            let_in = let_in.map(|so_far| so_far && ok);
        }
    }
    let names = all.iter().map(|probing| probing.names.clone()).collect();
    let conclude = |probing: Probing| probing.conclude(service, settings.proof, let_in);
    (all.into_iter().map(conclude).collect(), names)
}

/// Candidates beyond this many are not waited for.
const MOST_WITNESSED_BY_USE: usize = 5;

/// Lets the record's last use be the witness, where a key lives and no header named its project: its
/// row is read, the key is used once more, and the row is watched.
fn witness_by_use(
    organisations: &[Organisation],
    service: &Service,
    subjects: &[Subject<'_>],
    found: &mut [Match],
    verdicts: &[Verdict],
    settings: &Settings<'_>,
) {
    if settings.last_used_lag.is_zero() {
        return;
    }
    let open = subjects.iter().zip(found).zip(verdicts);
    let open = open
        .filter(|((_, found), verdict)| matches!(found, Match::Candidate(_)) && verdict.is_live());
    for ((subject, found), _) in open.take(MOST_WITNESSED_BY_USE) {
        let evidence = found.record().and_then(|record| {
            let by_profile = |o: &&Organisation| o.profile == record.profile;
            let organisation = organisations.iter().find(by_profile)?;
            let look = || last_use(organisation, record);
            watch(service, subject.key, settings.last_used_lag, &look)
        });
        if let Some(evidence) = evidence {
            hear(found, &evidence);
        }
    }
}

/// The record's last use as it is now; `None` if it can't be read.
fn last_use(organisation: &Organisation, record: &crate::verdict::Record) -> Option<Option<i64>> {
    let id = record.id.text();
    match (&record.kind, &record.project) {
        (RecordKind::Project, Some(project)) => {
            let key = organisation.admin.api_key(&project.text(), &id).ok()?;
            Some(key.last_used_at)
        }
        (RecordKind::Admin, _) => Some(organisation.admin.admin_key(&id).ok()?.last_used_at),
        (RecordKind::Project, None) => None,
    }
}

/// Uses the key and watches the row until it moves, or the lag is over.
fn watch(
    service: &Service,
    key: &Secret,
    lag: Duration,
    look: &dyn Fn() -> Option<Option<i64>>,
) -> Option<Evidence> {
    const EVERY: Duration = Duration::from_secs(10);
    let clock = service.clock();
    let before = look()?;
    let used_at = clock.now().as_second();
    // Whatever the answer: it is the use that counts.
    let _ = service.probe(key);
    let until = clock.uptime() + lag;
    let slack = i64::try_from(lag.as_secs()).unwrap_or(i64::MAX);
    loop {
        let after = look()?;
        if after != before || clock.uptime() >= until {
            return Some(Evidence::LastUse {
                before,
                used_at,
                after,
                slack,
            });
        }
        clock.sleep(EVERY.min(lag)).ok()?;
    }
}

fn expose(
    organisation: &Organisation,
    keys: &mut BTreeMap<Fingerprint, Check>,
    settings: &Settings<'_>,
) {
    let mine = |check: &&mut Check| {
        let record = check.identity.record();
        check.since.is_some() && record.is_some_and(|r| r.profile == organisation.profile)
    };
    let mut checks: Vec<&mut Check> = keys.values_mut().filter(mine).collect();
    if checks.is_empty() {
        return;
    }
    let about: Vec<(String, Option<String>, Since)> = checks
        .iter()
        .filter_map(|check| {
            let record = check.identity.record()?;
            let project = record.project.as_ref().map(|p| p.text().into_owned());
            Some((record.id.text().into_owned(), project, check.since?))
        })
        .collect();
    let exposed: Vec<Exposed<'_>> = about
        .iter()
        .map(|(id, project, since)| Exposed {
            id,
            project: project.as_deref(),
            since: *since,
        })
        .collect();
    let (exposures, scopes) = exposing::expose(
        &organisation.admin,
        &exposed,
        settings.longest_window,
        settings.usage_lag,
    );
    for (check, exposure) in checks.iter_mut().zip(exposures) {
        check.exposure = Some(exposure);
        let held = std::mem::replace(&mut check.identity, Match::None);
        check.identity = held.with_scopes(|record| scopes.get(&*record.id.text()).cloned());
    }
}

/// Why a request brought no answer of use, as a reason for not knowing.
fn why(error: &Error) -> Why {
    let word = match &error.cause {
        Cause::Stopped(_) => "stopped",
        Cause::Listing(_) => "bad_listing",
        Cause::NotUnderstood { .. } => "not_understood",
        Cause::Http(error) => match &error.trouble {
            Trouble::TimedOut(_) => "timed_out",
            Trouble::Certificate(_) => "certificate",
            Trouble::Redirect(_) => "redirect",
            Trouble::Unreachable(_) => "unreachable",
            Trouble::CutShort => "cut_short",
            Trouble::TooLarge(_) | Trouble::Settings(_) | Trouble::Request(_) => "exchange",
        },
        Cause::Refused(refusal) if !refusal.is_api => "not_understood",
        Cause::Refused(_) if error.is_key_refused() => "key_refused",
        Cause::Refused(refusal) if refusal.is_missing_permission() => "missing_permission",
        Cause::Refused(refusal) => match refusal.status {
            429 => "rate_limited",
            500.. => "server",
            _ => "refused",
        },
    };
    Why {
        word,
        detail: Masked::vouched(error.to_string()),
    }
}
