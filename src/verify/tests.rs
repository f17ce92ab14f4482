//! Verification against the sandbox: every row of the table of answers, identities, witnesses,
//! exposures, and whatever goes wrong in between.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, Stopped};
use crate::http::{Address, Client};
use crate::matcher::Matcher;
use crate::openai::{self, Admin};
use crate::rules::{Rules, Template};
use crate::sandbox::{
    self, Fault, Generation, ModelPermissions, Options, Running, Sandbox, Shape, What,
};
use crate::verdict::{Life, Unusable, Witness};

/// The sandbox's own clock: whoever waits moves it.
struct Shared(sandbox::Clock);

impl Clock for Shared {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0.milliseconds()).unwrap()
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.milliseconds() as u64)
    }

    fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.0.advance(time + Duration::from_millis(1));
        Ok(())
    }
}

struct Bench {
    sandbox: Running,
    client: Client,
    redact: openai::Redact,
}

impl Bench {
    fn new(options: Options) -> Self {
        let matcher = Matcher::new(&Rules::built_in(), None);
        Self {
            sandbox: Sandbox::start(options).unwrap(),
            client: crate::http::scripted::client(),
            redact: Arc::new(move |text: &[u8]| matcher.redact(text)),
        }
    }

    fn service(&self) -> Service {
        let base = Address::parse(&self.sandbox.url()).unwrap();
        let mut settings = openai::Settings::new(base);
        settings.probes_per_minute = 0;
        Service::new(
            self.client.clone(),
            settings,
            Arc::new(Shared(self.sandbox.clock())),
            self.redact.clone(),
            Arc::new(()),
        )
    }

    fn organisation(&self, cache: Option<std::path::PathBuf>) -> Organisation {
        Organisation {
            profile: "default".to_owned(),
            admin: Admin::new(Arc::new(self.service()), self.sandbox.admin_key()),
            cache,
        }
    }

    /// A key of a project: its id, its value, its project.
    fn some_key(&self) -> (String, Secret, String) {
        self.sandbox.with(|world| {
            let archived = |id: &str| world.project(id).unwrap().archived.is_some();
            let key = world.keys.iter().find(|key| {
                key.project.as_deref().is_some_and(|p| !archived(p))
                    && key.scopes.is_empty()
                    && key.value.expose().len() > 150
                    && !key.uses.is_empty()
            });
            let key = key.unwrap();
            (
                key.id.clone(),
                key.value.clone(),
                key.project.clone().unwrap(),
            )
        })
    }

    fn stranger(&self) -> Secret {
        let template = Template::parse("sk-proj-{long:74,74}").unwrap();
        Secret::new(template.fill(4242).key.into_bytes())
    }

    fn check(&self, keys: &[&Secret], change: impl FnOnce(&mut Settings<'_>)) -> Vec<Check> {
        self.check_in(&[self.organisation(None)], keys, change)
    }

    fn check_in(
        &self,
        organisations: &[Organisation],
        keys: &[&Secret],
        change: impl FnOnce(&mut Settings<'_>),
    ) -> Vec<Check> {
        let service = self.service();
        let mut settings = settings();
        settings.probe = Some(&service);
        change(&mut settings);
        let since = Some(Since {
            at: sandbox::Clock::START - 10 * 86_400,
            by: "file",
        });
        let subjects: Vec<Subject<'_>> = keys
            .iter()
            .map(|key| Subject {
                fingerprint: key.fingerprint(),
                key,
                kind: "project",
                since,
            })
            .collect();
        let checks = check(organisations, &subjects, &settings);
        keys.iter()
            .map(|k| checks.keys[&k.fingerprint()].clone())
            .collect()
    }
}

fn settings() -> Settings<'static> {
    Settings {
        probe: None,
        control: None,
        proof: Proof {
            answers: 3,
            pause: Duration::from_secs(10),
        },
        cache_age: Duration::from_secs(3600),
        last_used_lag: Duration::from_secs(60),
        longest_window: Duration::from_secs(90 * 86_400),
        usage_lag: Duration::from_secs(900),
        typed: None,
    }
}

#[test]
fn every_row_of_the_liveness_table_means_what_the_reference_says() {
    let unknown = |word: &'static str| ("unknown", word);
    let table: &[(What, (&str, &str))] = &[
        (
            What::AccountDeactivated,
            ("unusable", "account_deactivated"),
        ),
        (What::MissingScopes, ("live", "out_of_scope")),
        (What::ForbiddenScope, ("live", "out_of_scope")),
        (What::MismatchedOrganization, unknown("mismatch")),
        (What::MismatchedProject, unknown("mismatch")),
        (What::NoOrganization, ("unusable", "no_organisation")),
        (What::IpNotAuthorized, ("live", "other_address")),
        (What::ModelNotFound, ("live", "other_models")),
        (What::UnsupportedRegion, unknown("region")),
        (What::InsufficientQuota, ("live", "no_money")),
        (What::CreditBalanceExhausted, ("live", "no_money")),
        (What::OrganizationSpendLimitExceeded, ("live", "no_money")),
        (What::ProjectSpendLimitExceeded, ("live", "no_money")),
        (What::OrganizationUsageLimitExceeded, ("live", "no_money")),
        (What::RateLimitExceeded, unknown("rate_limited")),
        (What::SlowDown, unknown("rate_limited")),
        (What::ServerError, unknown("server")),
        (What::BadGateway, unknown("not_understood")),
        (What::Unavailable, unknown("server")),
        (What::CaptivePortal, unknown("not_understood")),
        (What::Redirect, unknown("redirect")),
        (What::ErrorInSuccess, unknown("not_understood")),
        (What::WrongShape, unknown("not_understood")),
        (What::Reset, unknown("cut_short")),
        (What::HangUp, unknown("cut_short")),
        (What::CutBody, unknown("cut_short")),
    ];
    let bench = Bench::new(Options::default());
    let (_, key, _) = bench.some_key();
    for (what, expected) in table {
        bench.sandbox.heal();
        bench.sandbox.fault(Fault::new(*what).on("GET /v1/models"));
        let check = &bench.check_in(&[], &[&key], |s| s.last_used_lag = Duration::ZERO)[0];
        let verdict = &check.verdict;
        assert_eq!(
            (verdict.as_str(), verdict.detail()),
            *expected,
            "{what:?}: {}",
            verdict.explain()
        );
    }
    bench.sandbox.heal();
    // 200: live. 401 invalid_api_key, again and again: dead.
    let stranger = bench.stranger();
    let checks = bench.check_in(&[], &[&key, &stranger], |_| {});
    assert_eq!(checks[0].verdict, Verdict::Live(Life::Works));
    assert!(
        matches!(checks[1].verdict, Verdict::Dead { answers: 3, control: true, over } if over >= Duration::from_secs(20))
    );
    let alone = bench.check_in(&[], &[&stranger], |_| {});
    assert!(matches!(
        alone[0].verdict,
        Verdict::Dead { control: false, .. }
    ));
    // Times out.
    bench.sandbox.fault(
        Fault::new(What::Slow)
            .on("GET /v1/models")
            .delay_ms(2600)
            .times(1),
    );
    let mut settings = openai::Settings::new(Address::parse(&bench.sandbox.url()).unwrap());
    settings.attempts = 1;
    let service = Service::new(
        bench.client.clone(),
        settings,
        Arc::new(Shared(bench.sandbox.clock())),
        bench.redact.clone(),
        Arc::new(()),
    );
    let slow = bench.check_in(&[], &[&key], |s| {
        s.probe = Some(Box::leak(Box::new(service)))
    });
    assert_eq!(slow[0].verdict.detail(), "timed_out");
    assert!(!Verdict::Unusable(Unusable::Account).is_live());
}

#[test]
fn a_limit_on_probes_is_waited_out() {
    let bench = Bench::new(Options::default());
    let (_, key, _) = bench.some_key();
    let faults = [What::RateLimitExceeded, What::ServerError, What::Reset];
    for what in faults {
        bench
            .sandbox
            .fault(Fault::new(what).on("GET /v1/models").times(1));
    }
    let check = &bench.check_in(&[], &[&key], |_| {})[0];
    assert_eq!(check.verdict, Verdict::Live(Life::Works));
}

#[test]
fn a_spell_of_false_refusals_kills_no_key() {
    let bench = Bench::new(Options::default());
    let (_, key, _) = bench.some_key();
    // Shorter than the proof takes: the key comes back.
    let spell = || Fault::new(What::IncorrectApiKey).on("GET /v1/models");
    bench.sandbox.fault(spell().until(15));
    let check = &bench.check_in(&[], &[&key], |_| {})[0];
    assert_eq!(check.verdict, Verdict::Live(Life::Works));
    // Longer, but a key that is known to live is refused as well.
    bench.sandbox.heal();
    bench.sandbox.fault(spell());
    let control = bench.some_key().1;
    let stranger = bench.stranger();
    let check = &bench.check_in(&[], &[&stranger], |s| {
        s.control = Some(&*Box::leak(Box::new(control)))
    })[0];
    assert_eq!(check.verdict.detail(), "control_refused");
}

#[test]
fn a_key_is_found_and_confirmed_by_the_headers_and_is_sent_to_nobody_without_a_probe() {
    let bench = Bench::new(Options::default());
    let (id, key, project) = bench.some_key();
    let stranger = bench.stranger();
    let quiet = bench.check(&[&key, &stranger], |s| s.probe = None);
    assert_eq!(quiet[0].identity.as_str(), "candidate");
    assert_eq!(quiet[1].identity.as_str(), "none");
    assert_eq!(quiet[0].verdict.detail(), "not_probed");
    bench.sandbox.with(|world| {
        let sent = |key: &Secret| {
            world
                .requests
                .iter()
                .any(|r| r.bearer == Some(key.fingerprint()))
        };
        assert!(!sent(&key) && !sent(&stranger));
        assert!(world.requests.iter().all(|r| !r.query.contains("sk-")));
    });
    let probed = bench.check(&[&key], |_| {});
    let Match::Confirmed(confirmed) = &probed[0].identity else {
        panic!("{:?}", probed[0].identity);
    };
    assert_eq!(confirmed.witness(), Witness::Headers);
    let record = confirmed.record();
    assert_eq!(record.id.text(), id);
    assert_eq!(record.project.as_ref().unwrap().text(), project);
    assert!(record.owner.is_some() && record.created_at.is_some());
    let typed = bench.check(&[&key], |s| {
        s.probe = None;
        s.typed = Some(&*Box::leak(id.clone().into_boxed_str()));
    });
    assert!(matches!(&typed[0].identity, Match::Confirmed(c) if c.witness() == Witness::Operator));
    let mistyped = bench.check(&[&key], |s| {
        s.probe = None;
        s.typed = Some("key_other");
    });
    assert_eq!(mistyped[0].identity.as_str(), "candidate");
}

#[test]
fn an_old_users_key_is_not_ruled_out_by_a_listing() {
    let bench = Bench::new(Options::default());
    let key = bench.sandbox.with(|world| {
        let key = world.keys.iter().find(|key| key.name == "old laptop");
        key.unwrap().value.clone()
    });
    let service = bench.service();
    let mut settings = settings();
    settings.probe = Some(&service);
    let subject = Subject {
        fingerprint: key.fingerprint(),
        key: &key,
        kind: "user",
        since: None,
    };
    let checks = check(&[bench.organisation(None)], &[subject], &settings);
    let check = &checks.keys[&key.fingerprint()];
    assert!(matches!(&check.identity, Match::Unknown(u) if u.why.word == "user_key"));
    assert!(check.verdict.is_live());
}

#[test]
fn twins_are_ambiguous_whatever_anybody_says() {
    let bench = Bench::new(Options {
        shape: Shape {
            twins: 1,
            ..Shape::default()
        },
        ..Options::default()
    });
    let (twin, id) = bench.sandbox.with(|world| {
        let key = world.keys.iter().find(|key| key.name == "twin 1").unwrap();
        (key.value.clone(), key.id.clone())
    });
    let check = &bench.check(&[&twin], |s| {
        s.typed = Some(&*Box::leak(id.into_boxed_str()))
    })[0];
    assert_eq!(check.identity.as_str(), "ambiguous");
    assert_eq!(check.identity.rows().len(), 2);
    assert!(check.identity.record().is_none());
    assert!(check.exposure.is_none());
}

#[test]
fn the_last_use_is_a_witness_where_headers_are_none() {
    for (lag, expected) in [(5_000, "confirmed"), (3_600_000, "candidate")] {
        let mut options = Options::default();
        options.settings.last_used_lag_ms = lag;
        let bench = Bench::new(options);
        let (_, key, _) = bench.some_key();
        // 401: live, and no header names the project.
        bench.sandbox.fault(
            Fault::new(What::IpNotAuthorized)
                .on("GET /v1/models")
                .times(1),
        );
        let check = &bench.check(&[&key], |_| {})[0];
        assert_eq!(check.identity.as_str(), expected, "lag {lag}");
        if let Match::Confirmed(confirmed) = &check.identity {
            assert_eq!(confirmed.witness(), Witness::LastUse);
        }
    }
}

#[test]
fn every_generation_is_understood_and_the_old_one_rules_nothing_out() {
    for generation in Generation::ALL {
        for strict in [true, false] {
            let mut options = Options::default();
            options.settings.generation = generation;
            options.settings.strict = strict;
            options.settings.unknown_fields = true;
            options.settings.page_size = 2;
            let bench = Bench::new(options);
            let (_, key, _) = bench.some_key();
            let checks = bench.check(&[&key, &bench.stranger()], |_| {});
            assert_eq!(checks[0].identity.as_str(), "confirmed", "{generation:?}");
            let expected = match generation {
                Generation::Old => "unknown",
                _ => "none",
            };
            assert_eq!(
                checks[1].identity.as_str(),
                expected,
                "{generation:?} {strict}"
            );
        }
    }
}

#[test]
fn an_incomplete_listing_proves_nothing_and_says_why() {
    for (what, word) in [
        (What::CaptivePortal, "not_understood"),
        (What::WrongShape, "not_understood"),
        (What::CutBody, "cut_short"),
        (What::EndlessPages, "bad_listing"),
        (What::RepeatedPage, "bad_listing"),
        (What::RevokeAdminKey, "key_refused"),
        (What::MissingScopes, "missing_permission"),
        (What::ServerError, "server"),
        (What::Redirect, "redirect"),
        (What::ErrorInSuccess, "not_understood"),
    ] {
        let bench = Bench::new(Options::default());
        let (_, key, _) = bench.some_key();
        bench.sandbox.fault(
            Fault::new(what)
                .on("GET /v1/organization/projects/*")
                .skip(2),
        );
        let organisations = [bench.organisation(None)];
        let keys = [&key, &bench.stranger()];
        for check in bench.check_in(&organisations, &keys, |s| s.typed = Some("x")) {
            let Match::Unknown(unknown) = &check.identity else {
                panic!("{what:?}: {:?}", check.identity);
            };
            assert_eq!(unknown.why.word, word, "{}", unknown.why.detail);
        }
    }
}

#[test]
fn what_a_key_did_is_told_with_its_gaps() {
    let bench = Bench::new(Options::default());
    let (id, key, project) = bench.some_key();
    let check = &bench.check(&[&key], |_| {})[0];
    let exposure = check.exposure.as_ref().unwrap();
    let total = exposure.total();
    assert!(total.requests > 0 && total.input_tokens > 0 && !total.cost.0.is_empty());
    let days = exposure.spent.len();
    assert!((1..=11).contains(&days), "{days} days");
    assert_eq!(exposure.foreign_models, Some(vec![]));
    assert!(
        exposure
            .deeds
            .as_ref()
            .unwrap()
            .iter()
            .any(|deed| deed.kind.text() == "api_key.created")
    );
    assert!(
        exposure
            .gaps
            .iter()
            .any(|gap| gap.text().contains("usage lags"))
    );
    // The sandbox's own books agree.
    let from = exposure.from.div_euclid(86_400) * 86_400_000;
    let expected: i64 = bench.sandbox.with(|world| {
        let own = world.uses.iter().filter(|u| u.key == id && u.at >= from);
        own.map(|u| u.input).sum()
    });
    assert_eq!(total.input_tokens as i64, expected);

    // A model that the project does not allow, an audit log that is off, usage that is refused.
    bench.sandbox.with(|world| {
        world.settings.audit_log = false;
        let project = world.projects.iter_mut().find(|p| p.id == project).unwrap();
        project.model_permissions = Some(ModelPermissions {
            allow: true,
            models: vec!["other-model".to_owned()],
        });
    });
    bench
        .sandbox
        .fault(Fault::new(What::MissingScopes).on("GET /v1/organization/costs"));
    let check = &bench.check(&[&key], |_| {})[0];
    let exposure = check.exposure.as_ref().unwrap();
    assert!(!exposure.foreign_models.as_ref().unwrap().is_empty());
    assert_eq!(exposure.deeds, Some(vec![]));
    let gap = |word: &str| exposure.gaps.iter().any(|gap| gap.text().contains(word));
    assert!(
        gap("audit log tells nothing") && gap("can't read the costs"),
        "{:?}",
        exposure.gaps
    );
    assert!(exposure.total().cost.0.is_empty());
}

#[test]
fn an_admin_key_that_lacks_something_is_told_before() {
    let bench = Bench::new(Options::default());
    assert_eq!(lacks(&bench.organisation(None).admin), []);
    bench
        .sandbox
        .fault(Fault::new(What::MissingScopes).on("GET /v1/organization/audit_logs"));
    let said = lacks(&bench.organisation(None).admin);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].text().starts_with("scopes and events stay unknown"),
        "{}",
        said[0]
    );
    let stranger = Admin::new(Arc::new(bench.service()), bench.stranger());
    assert_eq!(lacks(&stranger).len(), 5);
}

fn large(projects: usize, keys: usize) -> Options {
    Options {
        shape: Shape {
            projects,
            archived: 0,
            users: 5,
            service_accounts: 0,
            user_keys: keys,
            twins: 0,
            days: 0,
        },
        ..Options::default()
    }
}

#[test]
fn listings_are_kept_for_a_while_hold_no_key_and_go_on_where_they_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/listing.json");
    let bench = Bench::new(large(6, 5));
    let (_, key, _) = {
        bench.sandbox.with(|world| {
            let key = &world.keys[3];
            (
                key.id.clone(),
                key.value.clone(),
                key.project.clone().unwrap(),
            )
        })
    };
    let calls = |bench: &Bench| bench.sandbox.with(|world| world.requests.len());
    let organisation = || bench.organisation(Some(path.clone()));
    let hour = Duration::from_secs(3600);

    // A name that is a key must not get into the cache, and so must none of the values.
    bench.sandbox.with(|world| {
        let value = String::from_utf8(world.keys[4].value.expose().to_vec()).unwrap();
        world.keys[4].name = value;
    });
    // The admin key is revoked in the middle.
    let spent = bench.sandbox.admin_key();
    bench.sandbox.fault(
        Fault::new(What::HangUp)
            .on("GET /v1/organization/projects/*")
            .skip(3),
    );
    let broken = organisation().inventory(hour);
    assert!(matches!(broken.listing, Listing::Incomplete(_)));
    bench.sandbox.heal();
    let before = calls(&bench);
    let whole = organisation().inventory(hour);
    assert_eq!(whole.listing, Listing::Complete);
    assert_eq!(calls(&bench) - before, 3, "three of six projects were left");
    assert_eq!(whole.rows().count(), 6 * 5 + 2);

    let before = calls(&bench);
    bench.sandbox.clock().advance(Duration::from_secs(60));
    let warm = organisation().inventory(hour);
    assert_eq!((calls(&bench), warm.age >= 60), (before, true));
    assert_eq!(warm.fitting(key.expose()).len(), 1);
    let info = warm.info();
    assert_eq!((info.projects, info.keys, info.incomplete), (6, 32, None));

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
    let text = std::fs::read_to_string(&path).unwrap();
    bench.sandbox.with(|world| {
        for key in &world.keys {
            let value = std::str::from_utf8(key.value.expose()).unwrap();
            assert!(!text.contains(value) && !text.contains(&value[20..50]));
        }
    });
    let matcher = Matcher::new(&Rules::built_in(), None);
    assert!(matcher.search_all(text.as_bytes()).is_empty());
    assert!(!text.contains(std::str::from_utf8(spent.expose()).unwrap()));

    // Too old, from the future, of another address, broken: it is listed again.
    for damage in 0..4 {
        let mut stock = text.clone();
        let age = match damage {
            0 => Duration::from_secs(10),
            _ => hour,
        };
        match damage {
            1 => bench.sandbox.clock().jump(-3_600_000),
            2 => stock = stock.replace("\"base\":\"http", "\"base\":\"https"),
            3 => stock.truncate(stock.len() / 2),
            _ => {}
        }
        std::fs::write(&path, stock).unwrap();
        let before = calls(&bench);
        assert_eq!(organisation().inventory(age).listing, Listing::Complete);
        assert_eq!(calls(&bench) - before, 8, "damage {damage}");
    }

    // The row behind which a part would go on is gone: that part is listed from its beginning.
    let mut stock: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let part = stock["keys"].as_object_mut().unwrap().values_mut().next();
    let part = part.unwrap();
    part["whole"] = false.into();
    part["next"] = "key_gone".into();
    std::fs::write(&path, stock.to_string()).unwrap();
    let before = calls(&bench);
    let again = organisation().inventory(hour);
    assert_eq!((calls(&bench) - before, again.rows().count()), (2, 32));
    assert_eq!(again.listing, Listing::Complete);
}

#[test]
fn two_hundred_projects_cost_what_the_limit_asks_for_and_nothing_the_second_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("listing.json");
    let mut options = large(200, 25);
    options.settings.per_minute = 7;
    let bench = Bench::new(options);
    let organisation = || bench.organisation(Some(path.clone()));
    let clock = bench.sandbox.clock();
    let start = clock.milliseconds();
    let hour = Duration::from_secs(86_400);
    let cold = organisation().inventory(hour);
    assert_eq!(
        (&cold.listing, cold.rows().count()),
        (&Listing::Complete, 5002)
    );
    let took = Duration::from_millis((clock.milliseconds() - start) as u64);
    let bound = bench.service().least_time(200);
    assert!(
        took >= bound && took <= bound.mul_f64(1.05),
        "{took:?} of {bound:?}"
    );
    bench.sandbox.with(|world| {
        let limited = world.requests.iter().filter(|r| r.status == 429).count();
        assert_eq!(limited, 0, "the pacing keeps within the limit");
        // The second page of projects is full, so a third is asked for.
        assert_eq!(world.requests.len(), 3 + 1 + 200);
    });

    // A thousand distinct findings, two hundred of them ours.
    let mut found: Vec<Secret> = (0..800)
        .map(|seed| {
            let template = Template::parse("sk-proj-{long:74,74}").unwrap();
            Secret::new(template.fill(seed).key.into_bytes())
        })
        .collect();
    bench.sandbox.with(|world| {
        let own = world
            .keys
            .iter()
            .filter(|key| key.project.is_some())
            .step_by(25);
        found.extend(own.map(|key| key.value.clone()));
    });
    let subjects: Vec<Subject<'_>> = found
        .iter()
        .map(|key| Subject {
            fingerprint: key.fingerprint(),
            key,
            kind: "project",
            since: None,
        })
        .collect();
    assert_eq!(subjects.len(), 1000);
    let before = bench.sandbox.with(|world| world.requests.len());
    let began = std::time::Instant::now();
    let mut settings = settings();
    settings.cache_age = hour;
    let checks = check(&[organisation()], &subjects, &settings);
    let took = began.elapsed();
    // Optimised it takes some 20 ms.
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(bench.sandbox.with(|world| world.requests.len()), before);
    assert_eq!(checks.keys.len(), 1000);
    let matched = checks
        .keys
        .values()
        .filter(|c| !c.identity.rows().is_empty());
    assert!(matched.count() >= 200);
    assert!(checks.is_complete());
}

#[test]
fn each_key_is_asked_about_once_and_others_never() {
    let bench = Bench::new(Options::default());
    let (_, key, _) = bench.some_key();
    let service = bench.service();
    let mut settings = settings();
    settings.probe = Some(&service);
    let azure = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec());
    let foreign = Secret::new(b"AKIA-something-of-another-provider".to_vec());
    let subject = |key, kind, at| Subject {
        fingerprint: Secret::fingerprint(key),
        key,
        kind,
        since: Some(Since { at, by: "file" }),
    };
    let subjects = [
        subject(&key, "project", 20),
        subject(&azure, "azure", 5),
        subject(&key, "project", 10),
        // A rule of the repository may call anything a project's key.
        subject(&foreign, "project", 1),
    ];
    let checks = check(&[], &subjects, &settings);
    assert_eq!(checks.keys.len(), 3);
    assert_eq!(checks.keys[&key.fingerprint()].since.unwrap().at, 10);
    assert_eq!(
        checks.keys[&azure.fingerprint()].verdict.detail(),
        "not_askable"
    );
    assert!(!checks.is_complete());
    bench.sandbox.with(|world| {
        assert_eq!(world.requests.len(), 1);
        assert_eq!(world.requests[0].bearer, Some(key.fingerprint()));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whatever_breaks_nothing_is_confirmed_without_a_whole_listing(
        what in proptest::sample::select(What::ALL),
        skip in 0u32..8,
        times in 1u32..9,
    ) {
        prop_assume!(!matches!(what, What::Slow | What::SlowAnswer));
        let bench = Bench::new(Options::default());
        let (id, key, project) = bench.some_key();
        bench.sandbox.fault(Fault::new(what).on("* /v1/organization/*").skip(skip).times(times));
        let organisations = [bench.organisation(None)];
        let checks = bench.check_in(&organisations, &[&key, &bench.stranger()], |_| {});
        if let Match::Confirmed(confirmed) = &checks[0].identity {
            prop_assert_eq!(confirmed.record().id.text(), id);
            prop_assert_eq!(confirmed.record().project.as_ref().unwrap().text(), project);
        }
        prop_assert!(checks[1].identity.record().is_none());
    }
}
