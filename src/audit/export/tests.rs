//! Each form from the same records; `tests/schemas/ocsf.py` holds the OCSF lines that this lays out
//! against the schema.

use serde_json::Value;

use super::*;
use crate::audit::{
    Activity, Entity, EntityKind, Event, GENESIS, Leak, Outcome, Record, Step, Who,
};
use crate::secret::{Masked, Secret};

fn masked(text: &str) -> Masked {
    Masked::vouched(text)
}

pub(in crate::audit) fn samples() -> Vec<Record> {
    let key = Secret::new(b"some key".to_vec()).fingerprint();
    let leak = Leak {
        key,
        mask: masked("sk-proj-…abcd"),
        rule: "openai-project-key".to_owned(),
        severity: "high".to_owned(),
        place: masked("src/é.py:3"),
        verdict: Some("live".to_owned()),
        key_id: Some("key_1".to_owned()),
    };
    let quiet = Leak {
        verdict: None,
        key_id: None,
        ..leak.clone()
    };
    let step = |activity, outcome, kind| Step {
        rotation: "r-1".to_owned(),
        step: "created".to_owned(),
        activity,
        entity: Entity {
            kind,
            id: masked("key_2"),
            name: Some(masked("26-11-acme")),
            key: Some(key),
        },
        outcome,
        detail: Some(masked("as \"planned\"\nand 🔑")),
        facts: [("version".to_owned(), masked("7"))].into(),
    };
    let activities = [
        Activity::Create,
        Activity::Read,
        Activity::Update,
        Activity::Delete,
        Activity::Move,
        Activity::Enable,
        Activity::Disable,
        Activity::Activate,
        Activity::Deactivate,
        Activity::Suspend,
        Activity::Resume,
        Activity::Other,
    ];
    let outcomes = [
        Outcome::Intended,
        Outcome::Success,
        Outcome::Failure,
        Outcome::Unknown,
    ];
    let kinds = [
        EntityKind::ApiKey,
        EntityKind::Secret,
        EntityKind::Consumer,
        EntityKind::Project,
        EntityKind::ServiceAccount,
        EntityKind::Rotation,
    ];
    let mut events = vec![Event::Leak(leak), Event::Leak(quiet)];
    for (n, activity) in activities.into_iter().enumerate() {
        events.push(Event::Step(step(activity, outcomes[n % 4], kinds[n % 6])));
    }
    let mut bare = step(Activity::Other, Outcome::Success, EntityKind::Rotation);
    (bare.detail, bare.entity.name, bare.entity.key) = (None, None, None);
    events.push(Event::Step(bare));
    let who = Who {
        actor: masked("ann"),
        host: masked("build-1"),
        job: Some(masked("https://ci/1")),
        ticket: Some(masked("OPS-1")),
        approver: Some(masked("bob")),
    };
    let records = events.into_iter().enumerate().map(|(n, event)| Record {
        schema: "skewer.trail/1".to_owned(),
        seq: n as u64 + 1,
        time: "2026-11-23T08:00:00Z".parse().unwrap(),
        prev: GENESIS,
        torn: None,
        who: if n == 0 { Who::default() } else { who.clone() },
        event,
    });
    records.collect()
}

/// Where `cargo test` lays things out for checks that need more than Rust.
fn lay_out(name: &str, lines: &[String]) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/audit");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), lines.join("\n") + "\n").unwrap();
}

#[test]
fn every_form_is_one_line_of_ascii_for_each_record() {
    let records = samples();
    for profile in PROFILES {
        let lines: Vec<String> = records.iter().map(profile.render).collect();
        for line in &lines {
            assert!(line.is_ascii() && !line.contains('\n'), "{line}");
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(value.is_object());
        }
        lay_out(&format!("{}.jsonl", profile.name), &lines);
    }
    assert!(profile("ocsf").is_some() && profile("ocfs").is_none());
}

#[test]
fn wazuh_gets_neither_lists_nor_levels() {
    for record in samples() {
        let line = (profile("wazuh").unwrap().render)(&record);
        let value: Value = serde_json::from_str(&line).unwrap();
        for (name, value) in value.as_object().unwrap() {
            assert!(name.starts_with("skewer_"));
            assert!(value.is_string() || value.is_number(), "{name}: {value}");
        }
    }
}

#[test]
fn nothing_is_lost_on_the_way_to_ocsf() {
    let records = samples();
    let render = profile("ocsf").unwrap().render;
    let leak: Value = serde_json::from_str(&render(&records[0])).unwrap();
    assert_eq!(
        (&leak["class_uid"], &leak["type_uid"]),
        (&2004.into(), &200_401.into())
    );
    assert_eq!(leak["unmapped"]["place"], "src/é.py:3");
    let step: Value = serde_json::from_str(&render(&records[5])).unwrap();
    assert_eq!(
        (&step["class_uid"], &step["type_uid"]),
        (&3004.into(), &300_404.into())
    );
    assert_eq!(step["actor"]["user"]["name"], "ann");
    for (name, expected) in [
        ("rotation", "r-1"),
        ("version", "7"),
        ("ticket", "OPS-1"),
        ("approver", "bob"),
        ("job", "https://ci/1"),
    ] {
        assert_eq!(step["unmapped"][name], expected);
    }
}
