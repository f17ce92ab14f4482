//! Files keep all that is not the value, whatever is in them.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::config::tests::section;
use crate::store::contract::{self, key, note};
use crate::store::open;

struct Bench {
    directory: tempfile::TempDir,
    file: PathBuf,
}

impl Bench {
    fn new(name: &str, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        Self { directory, file }
    }

    fn store(&self, key: &[&str]) -> Box<dyn Store> {
        self.try_store(key).unwrap()
    }

    fn try_store(&self, key: &[&str]) -> Result<Box<dyn Store>, ConfigError> {
        let key = match key {
            [] => "format = 'raw'".to_owned(),
            key => format!("key = {key:?}"),
        };
        let path = self.file.display();
        let section = section(&format!("kind = 'file'\npath = '{path}'\n{key}\n"));
        open(&section, &Outside::for_tests())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn text_of(key: &Secret) -> String {
    String::from_utf8(key.expose().to_vec()).unwrap()
}

const ENV: &str =
    "# about\nexport OTHER='two\nOPENAI_API_KEY=lines'\nOPENAI_API_KEY=@ # note\nLAST=1";

const YAML: &str = "# about\nservices:\n  api:\n    image: x # é\n    environment:\n      - A=1\n      - OPENAI_API_KEY=@\n  web: &w\n    environment: {OPENAI_API_KEY: \"@\", B: 'x'}\n  other: *w\n";

const JSON: &str =
    "{\"a\":[1,{\"b\\\"\":null}],\t\"services\": {\"api\":\n[{\"key\" : \"@\"},2]}}\r\n";

#[test]
fn the_contract_holds_for_each_form() {
    let forms: [(&str, &str, &[&str]); 5] = [
        (".env", ENV, &["OPENAI_API_KEY"]),
        (
            "compose.yaml",
            YAML,
            &["services", "api", "environment", "OPENAI_API_KEY"],
        ),
        (
            "compose.yml",
            YAML,
            &["services", "web", "environment", "OPENAI_API_KEY"],
        ),
        ("config.json", JSON, &["services", "api", "0", "key"]),
        ("openai_key", " @\n", &[]),
    ];
    for (name, text, path) in forms {
        let mut benches = Vec::new();
        let text = text.replace('@', &text_of(&key(1)));
        let benches = std::cell::RefCell::new(&mut benches);
        contract::check(|| {
            let bench = Bench::new(name, &text);
            let store = bench.store(path);
            benches.borrow_mut().push(bench);
            store
        });
    }
}

#[test]
fn a_rotation_leaves_nothing_but_the_new_value() {
    let bench = Bench::new(".env", &ENV.replace('@', &text_of(&key(1))));
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&bench.file, mode).unwrap();
    let store = bench.store(&["OPENAI_API_KEY"]);
    let over = store.preflight().unwrap().current;
    let note = note("r1", &key(2));
    store.stage(&key(2), &note).unwrap();
    for name in bench.names().iter().filter(|name| *name != ".env") {
        assert!(
            name.starts_with(".env.") && name.contains(".skewer-next"),
            "{name}"
        );
        let mode = bench
            .directory
            .path()
            .join(name)
            .metadata()
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
    store.promote(&key(2), &note, &over).unwrap();
    assert_eq!(bench.text(), ENV.replace('@', &text_of(&key(2))));
    assert_eq!(
        bench.file.metadata().unwrap().permissions().mode() & 0o777,
        0o640
    );
    store.forget("r1").unwrap();
    assert_eq!(bench.names(), [".env"]);
}

#[test]
fn a_link_stays_one_and_hard_links_are_refused() {
    let bench = Bench::new("real.env", "K=one\n");
    let link = bench.directory.path().join("link.env");
    std::os::unix::fs::symlink("real.env", &link).unwrap();
    let linked = Bench {
        file: link.clone(),
        directory: tempfile::tempdir().unwrap(),
    };
    let store = linked.store(&["K"]);
    let seen = store.preflight().unwrap();
    assert!(seen.remarks[0].contains("real.env"), "{:?}", seen.remarks);
    let two = Secret::new(b"two".to_vec());
    let note = note("r", &two);
    store.stage(&two, &note).unwrap();
    store.promote(&two, &note, &seen.current).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(bench.text(), "K=two\n");
    std::fs::hard_link(&bench.file, bench.directory.path().join("hard")).unwrap();
    assert!(matches!(store.preflight(), Err(StoreError::Refused { .. })));
}

#[test]
fn another_change_of_the_file_is_kept_and_of_the_value_is_a_conflict() {
    let bench = Bench::new("a.env", "K=one\nL=1\n");
    let store = bench.store(&["K"]);
    let over = store.preflight().unwrap().current;
    let two = Secret::new(b"two".to_vec());
    let note = note("r", &two);
    store.stage(&two, &note).unwrap();
    std::fs::write(&bench.file, "L=2\nK=one\n").unwrap();
    let promoted = store.promote(&two, &note, &over).unwrap();
    assert_eq!(bench.text(), "L=2\nK=two\n");
    std::fs::write(&bench.file, "K=three\n").unwrap();
    let outcome = store.restore(None, &note, &promoted);
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })));
    assert_eq!(bench.text(), "K=three\n");
}

#[test]
fn wrong_places_are_found_before_anything_is_written() {
    let said = |name: &str, text: &str, key: &[&str]| {
        let bench = Bench::new(name, text);
        let outcome = bench.store(key).preflight();
        assert_eq!(bench.names().len(), 1);
        outcome.unwrap_err().to_string()
    };
    for (name, text, key, why) in [
        (".env", "A=1\n", &["K"][..], "this name is not there"),
        (".env", "K=1\nK=2\n", &["K"], "assigned more than once"),
        (".env", "K=\"a$B\"\n", &["K"], "escapes, expansions"),
        (".env", "K=a b\n", &["K"], "blanks"),
        (".env", "K=\n", &["K"], "empty"),
        ("a.json", "{\"k\":1}", &["k"], "no string"),
        ("a.json", "{\"k\":\"v\"", &["k"], "no JSON"),
        ("a.json", "{\"k\":\"v\",\"k\":\"w\"}", &["k"], "twice"),
        ("a.json", "{\"k\":\"v\"}", &["k", "l"], "not there"),
        ("a.json", "[\"v\"]", &["1"], "not there"),
        ("a.yaml", "k: &a v\nl: *a\n", &["k"], "anchor"),
        ("a.yaml", "k: &a v\nl: *a\n", &["l"], "alias"),
        ("a.yaml", "k: |\n  v\n", &["k"], "one line"),
        ("a.yaml", "k: !vault v\n", &["k"], "tag"),
        ("a.yaml", "k: {a: 1}\n", &["k"], "no single value"),
        ("a.yaml", "k: v\nk: w\n", &["k"], "twice"),
        ("a.yaml", "k: v\n---\nk: w\n", &["k"], "more than one"),
        ("a.yaml", "k: [v\n", &["k"], "no YAML"),
        ("a.yaml", "? {k: v}\n: w\n", &["k"], "not there"),
        ("key", "two words", &[], "more than one word"),
        ("key", " \n", &[], "not there"),
    ] {
        let said = said(name, text, key);
        assert!(said.contains(why), "{name} {text:?}: {said}");
    }
    let bench = Bench::new("x.env", "K=v\n");
    std::fs::remove_file(&bench.file).unwrap();
    let gone = bench.store(&["K"]).preflight();
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

#[test]
fn wrong_settings_say_what_to_do() {
    let said = |text: &str| {
        open(&section(text), &Outside::for_tests())
            .err()
            .unwrap()
            .to_string()
    };
    for (text, why) in [
        (
            "kind = 'file'\npath = 'x.ini'\nkey = 'a'",
            "`format` has to be one of",
        ),
        ("kind = 'file'\npath = 'x.env'", "`key` says which"),
        (
            "kind = 'file'\npath = 'x.env'\nkey = ['a', 'b']",
            "one level",
        ),
        (
            "kind = 'file'\npath = 'x'\nformat = 'raw'\nkey = 'a'",
            "all of it",
        ),
        ("kind = 'file'\npaht = 'x'", "did you mean `path`?"),
        ("kind = 'fiel'\npath = 'x'", "did you mean `file`?"),
        ("path = 'x'", "kind"),
    ] {
        let said = said(text);
        assert!(said.contains(why), "{text:?}: {said}");
    }
}

#[test]
fn values_that_would_change_on_the_way_are_refused() {
    for (name, text, bad) in [
        ("a.env", "K=v\n", "a b"),
        ("a.env", "K='v'\n", "it's"),
        ("a.yaml", "k: v\n", "yes"),
        ("a.yaml", "k: v\n", "a: b"),
        ("a.yaml", "k: 'v'\n", "a\nb"),
        ("key", "v\n", "two words"),
    ] {
        let bench = Bench::new(name, text);
        let key: &[&str] = match name {
            "a.env" => &["K"],
            "a.yaml" => &["k"],
            _ => &[],
        };
        let store = bench.store(key);
        let over = store.preflight().unwrap().current;
        let value = Secret::new(bad.into());
        let note = note("r", &value);
        store.stage(&value, &note).unwrap();
        let outcome = store.promote(&value, &note, &over);
        assert!(
            matches!(outcome, Err(StoreError::Refused { .. })),
            "{name} {bad:?}"
        );
        assert_eq!(bench.text(), text);
    }
}

/// A file that may hold anything: the value is found and replaced, or the file is refused; the
/// bytes around it never change.
fn stays_the_same(find: Find, text: &[u8], path: &[String], new: &str) {
    let values = Values::new("x".into(), path.to_vec(), find);
    let Ok(found) = find(text, path) else {
        return;
    };
    let value = Secret::new(new.into());
    let Ok(changed) = values.rewritten(text, &value) else {
        return;
    };
    let tail = text.len() - found.span.end;
    assert_eq!(&changed[..found.span.start], &text[..found.span.start]);
    assert_eq!(&changed[changed.len() - tail..], &text[found.span.end..]);
    let back = values.rewritten(&changed, &found.value).unwrap();
    let again = find(&back, path).unwrap();
    assert_eq!(again.value, found.value);
}

fn env_line() -> impl Strategy<Value = String> {
    let name = "[A-Z_]{1,6}";
    let value = prop_oneof![
        "[a-zA-Z0-9_./:@-]{0,12}",
        "'[a-zA-Z0-9 \n#=\"]{0,12}'",
        "\"[a-zA-Z0-9 \n#=']{0,12}\"",
        "[a-z]{1,4} # [a-z'\" ]{0,8}",
        "\\PC{0,8}",
    ];
    prop_oneof![
        (name, value.clone()).prop_map(|(n, v)| format!("{n}={v}")),
        (name, value).prop_map(|(n, v)| format!("export {n} = {v}")),
        "#[ a-zA-Z=]{0,10}".prop_map(|s| s),
        "[ \t]{0,3}".prop_map(|s| s),
        "\\PC{0,12}".prop_map(|s| s),
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Map, Value};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(1.5)),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-e\"\\\\é]{1,2}", inner, 0..4)
                .prop_map(|m| Value::Object(Map::from_iter(m))),
        ]
    })
}

/// The paths of all strings.
fn strings(value: &serde_json::Value, path: &[String], out: &mut Vec<Vec<String>>) {
    let below = |name: String| [path, &[name]].concat();
    match value {
        serde_json::Value::String(_) => out.push(path.to_vec()),
        serde_json::Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                strings(value, &below(n.to_string()), out);
            }
        }
        serde_json::Value::Object(map) => {
            for (name, value) in map {
                strings(value, &below(name.clone()), out);
            }
        }
        _ => {}
    }
}

fn at<'v>(value: &'v mut serde_json::Value, path: &[String]) -> &'v mut serde_json::Value {
    path.iter().fold(value, |value, name| match value {
        serde_json::Value::Array(list) => &mut list[name.parse::<usize>().unwrap()],
        other => &mut other[name.as_str()],
    })
}

proptest! {
    #[test]
    fn env_files_stay_as_they_are(
        before in proptest::collection::vec(env_line(), 0..6),
        after in proptest::collection::vec(env_line(), 0..6),
        quote in prop_oneof![Just(""), Just("'"), Just("\"")],
        ending in prop_oneof![Just("\n"), Just("\r\n")],
        old in "[A-Za-z0-9_-]{1,20}",
        new in "[A-Za-z0-9_-]{1,20}",
    ) {
        // A quote that opens before our line may swallow it, and an own TARGET counts, too: then
        // it is refused. What is written is exact in any case.
        let line = format!("TARGET={quote}{old}{quote}");
        let lines: Vec<String> = before.into_iter().chain([line]).chain(after).collect();
        let text = lines.join(ending);
        stays_the_same(env::find, text.as_bytes(), &["TARGET".to_owned()], &new);
    }

    #[test]
    fn a_lone_assignment_is_always_found(
        comments in proptest::collection::vec("#[ -~]{0,20}", 0..4),
        quote in prop_oneof![Just(""), Just("'"), Just("\"")],
        old in "[A-Za-z0-9_-]{1,20}",
    ) {
        let text = format!("{}\n K = {quote}{old}{quote} # x\n", comments.join("\n"));
        let found = env::find(text.as_bytes(), &["K".to_owned()]).ok().unwrap();
        prop_assert_eq!(found.value.expose(), old.as_bytes());
    }

    /// Each string of a document is found by its path, and replacing it changes nothing else,
    /// however the document is laid out; JSON is YAML, so its reader must say the same.
    #[test]
    fn documents_stay_as_they_are(
        document in json_value(),
        pretty in any::<bool>(),
        new in "\\PC{0,12}",
    ) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&document).unwrap(),
            false => document.to_string(),
        };
        let mut paths = Vec::new();
        strings(&document, &[], &mut paths);
        for path in paths {
            let values = Values::new("x".into(), path.clone(), json::find);
            let changed = values.rewritten(text.as_bytes(), &Secret::new(new.clone().into())).unwrap();
            let mut expected = document.clone();
            *at(&mut expected, &path) = new.clone().into();
            let read: serde_json::Value = serde_json::from_slice(&changed).unwrap();
            prop_assert_eq!(&read, &expected);
            stays_the_same(json::find, text.as_bytes(), &path, &new);
            stays_the_same(yaml::find, text.as_bytes(), &path, &new);
        }
    }

    #[test]
    fn yaml_stays_as_it_is(
        before in proptest::collection::vec("[a-j]: (x|'y'|\"z\"|\\[1, 2\\]|\\{a: b\\}|é # c)", 0..4),
        style in prop_oneof![Just(""), Just("'"), Just("\"")],
        old in "[a-z][A-Za-z0-9_-]{3,20}x",
        new in "[a-z][A-Za-z0-9_-]{3,20}x",
    ) {
        let mut lines: Vec<String> = before.iter().enumerate().map(|(n, l)| format!("k{n}{l}")).collect();
        lines.push(format!("service:\n  target: {style}{old}{style}   # comment"));
        lines.push("last: 1".to_owned());
        let text = lines.join("\n");
        let path = ["service".to_owned(), "target".to_owned()];
        let values = Values::new("x".into(), path.to_vec(), yaml::find);
        let changed = values.rewritten(text.as_bytes(), &Secret::new(new.clone().into())).unwrap();
        let expected = text.replace(&format!("{style}{old}{style}   #"), &format!("{style}{new}{style}   #"));
        prop_assert_eq!(String::from_utf8(changed).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        yaml in "[a-c:{}\\[\\]'\"\\-?&*!|># \n]{0,40}",
    ) {
        let path = ["a".to_owned(), "b".to_owned()];
        for (_, _, find) in FORMS {
            for path in [&path[..], &path[..1], &[]] {
                stays_the_same(*find, &bytes, path, "new");
                stays_the_same(*find, yaml.as_bytes(), path, "new");
            }
        }
    }
}
