//! What names key A: a fingerprint, a report.

use skewer::secret::Secret;

use super::house::{House, STAGES};

fn print(value: &str) -> String {
    Secret::new(value.as_bytes().to_vec())
        .fingerprint()
        .to_string()
}

#[test]
fn a_fingerprint_leads_to_a_record_through_a_store_or_the_journal() {
    let house = House::new();
    let before = house.live();
    let (code, out, err) = house.run(&["rotate", "start", &print(&house.value)]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("of {} (sk-", house.key)), "{out}");
    house.assert_as_before(&before);
    let (_, other) = house.another();
    let (code, _, err) = house.run(&["rotate", "start", &print(&other)]);
    assert_eq!(code, 2);
    assert!(
        err.contains("nothing leads from the fingerprint") && err.contains("verify"),
        "{err}"
    );
    // Whose key it is can't be told: a candidate is not enough.
    house.configure(STAGES, "");
    let refused = house.run_with_probes_refused(&["rotate", "start", &print(&house.value)]);
    assert_eq!(refused.0, 2, "{}", refused.2);
    assert!(
        refused.2.contains("is not confirmed, but candidate"),
        "{}",
        refused.2
    );
    // The journal knows the keys that rotations made.
    let (code, _, err) = house.run(&["rotate", "start", &house.key, "--apply", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let made = house.handed_out();
    house.write("app.env", &format!("PORT=8080\nOPENAI_API_KEY={other}\n"));
    let (code, out, err) = house.run(&["revoke", &print(&made)]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("Revocation") && !out.contains(&house.key),
        "{out}"
    );
}

#[test]
fn a_report_leads_to_the_record_that_it_confirms() {
    let house = House::new();
    let before = house.live();
    let scan = |flags: &[&str], name: &str| {
        let format = if name.ends_with("l") { "jsonl" } else { "json" };
        let all = [&["scan", "app.env", "--format", format, "-o", name], flags].concat();
        let (code, _, err) = house.run(&all);
        assert_eq!(code, 1, "{err}");
    };
    scan(&[], "plain.json");
    let (code, _, err) = house.run(&["rotate", "start", "plain.json"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("confirms the record of no key")
            && err.contains("skewer verify --probe plain.json"),
        "{err}"
    );
    for name in ["verified.json", "verified.jsonl"] {
        scan(&["--verify", "--probe"], name);
        let (code, out, err) = house.run(&["rotate", "start", name]);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(&format!("of {} (sk-", house.key)), "{out}");
    }
    // Matched, but never let in: a candidate.
    scan(&["--verify"], "candidate.json");
    let (code, _, err) = house.run(&["rotate", "start", "candidate.json"]);
    assert_eq!(code, 2);
    assert!(err.contains("of no key that may live"), "{err}");
    // The record is another one by now.
    let text = house.read("verified.json");
    let at = text.find("\"created_at\":").unwrap() + 13;
    let changed = format!("{} 1{}", &text[..at], &text[at..].trim_start());
    house.write("changed.json", &changed);
    let (code, _, err) = house.run(&["rotate", "start", "changed.json"]);
    assert_eq!(code, 2);
    assert!(err.contains("not what the report saw"), "{err}");
    // Several: one is to be named.
    let (_, other) = house.another();
    house.write("two.env", &format!("A={}\nB={other}\n", house.value));
    let (code, _, err) = house.run(&[
        "scan", "two.env", "--verify", "--probe", "--format", "json", "-o", "two.json",
    ]);
    assert_eq!(code, 1, "{err}");
    let (code, _, err) = house.run(&["rotate", "start", "two.json"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("of 2 keys") && err.contains("name one by its id"),
        "{err}"
    );
    house.assert_as_before(&before);
}

#[test]
fn a_value_that_two_keys_look_like_is_nobodys() {
    let house = House::new();
    // Another key of the project whose masked form is the same.
    house.sandbox.with(|world| {
        let key = world.key(&house.key).unwrap().clone();
        let mut twin = key;
        twin.id = "key_twin".to_owned();
        let mut value = twin.value.expose().to_vec();
        let middle = value.len() / 2 + 12;
        value[middle] = if value[middle] == b'x' { b'y' } else { b'x' };
        twin.value = Secret::new(value);
        world.keys.push(twin);
    });
    let (code, _, err) = house.run(&["rotate", "start", &house.key]);
    assert_eq!(code, 2);
    assert!(err.contains("more than one key looks so"), "{err}");
    let (code, _, err) = house.run(&["rotate", "start", &print(&house.value)]);
    assert_eq!(code, 2);
    assert!(
        err.contains("but ambiguous: 2 records look like it"),
        "{err}"
    );
}
