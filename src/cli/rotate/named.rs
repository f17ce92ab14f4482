//! What names key A: the id of its record, its fingerprint, or a report that confirmed its record.
//! A fingerprint alone leads to no record; who binds the two is asked here, and a candidate is
//! never enough.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

use super::LISTING_AGE;
use super::setup::{Holders, Setup, SetupFlags};
use crate::cli::error::Hint;
use crate::cli::reread;
use crate::openai::{ApiKey, Project};
use crate::secret::{Fingerprint, Masked, Secret};
use crate::verdict::{Listing, Mask, Match, Record, in_short};
use crate::verify::{Inventory, Listed};

/// What the user names key A by.
pub(super) enum Named {
    /// Its record's id.
    Id(String),
    Fingerprint(Fingerprint),
    Reported(Reported),
}

/// A confirmed record, as a report has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    key: String,
    fingerprint: Fingerprint,
    /// What the record looked like: it must look so still.
    masked: String,
    created: Option<i64>,
    verdict: String,
    profile: String,
}

/// Key A, as far as it is known before anything is planned.
pub(super) struct Aim {
    pub(super) project: String,
    pub(super) project_name: Option<String>,
    pub(super) key: String,
    /// Its value, where it is at hand and known to be this key's.
    pub(super) value: Option<Secret>,
    pub(super) holders: Holders,
}

impl Named {
    /// 32 hexadecimal digits are a fingerprint; a report is a path, which ends in `.json` or `.jsonl`
    /// or has a separator in it; all else is an id. Ids are opaque, and a file that somebody put
    /// into this directory must not stand in for one.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        if let Ok(fingerprint) = text.parse() {
            return Ok(Self::Fingerprint(fingerprint));
        }
        let ends = |end: &str| text.ends_with(end);
        if !(ends(".json") || ends(".jsonl") || text.contains(std::path::is_separator)) {
            return Ok(Self::Id(text.to_owned()));
        }
        let path = PathBuf::from(text);
        let bytes = reread::read(&path)?;
        one_of(&path, confirmed(&bytes)?).map(Self::Reported)
    }

    /// The organisation that a report names.
    pub(super) fn profile(&self) -> Option<&str> {
        match self {
            Self::Reported(reported) => Some(&reported.profile),
            Self::Id(_) | Self::Fingerprint(_) => None,
        }
    }
}

/// The keys of a report whose records are confirmed and that are not dead; and how many there are
/// besides.
fn confirmed(bytes: &[u8]) -> anyhow::Result<(Vec<Reported>, usize)> {
    let summary = reread::summary(bytes).map_err(anyhow::Error::msg)?;
    let keys = summary["verification"]["keys"].as_array();
    let keys = keys.map(Vec::as_slice).unwrap_or_default();
    let one = |key: &Value| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let record = &key["records"][0];
        let lives = key["verdict"] != "dead";
        let confirmed = key["identity"] == "confirmed" && record["kind"] == "project";
        (lives && confirmed).then(|| {
            Some(Reported {
                key: text(&record["id"])?,
                fingerprint: key["fingerprint"].as_str()?.parse().ok()?,
                masked: text(&record["masked"])?,
                created: record["created_at"].as_i64(),
                verdict: text(&key["verdict"])?,
                profile: text(&record["profile"])?,
            })
        })?
    };
    let found: Vec<Reported> = keys.iter().filter_map(one).collect();
    let others = keys.len() - found.len();
    Ok((found, others))
}

/// The only key that qualifies.
fn one_of(path: &Path, (mut found, others): (Vec<Reported>, usize)) -> anyhow::Result<Reported> {
    let path = path.display();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(anyhow::anyhow!(
            "{path} confirms the record of no key that may live ({others} other keys in it)"
        ))
        .hint(format!(
            "`skewer verify --probe {path} --format json -o verified.json` finds out whose they are; then name verified.json"
        )),
        several => {
            let line = |one: &Reported| {
                format!(
                    "\n  {}  {}  {}  {}",
                    one.key,
                    one.verdict,
                    one.fingerprint,
                    in_short(&one.masked)
                )
            };
            let lines: String = found.iter().map(line).collect();
            Err(anyhow::anyhow!(
                "{path} confirms the records of {several} keys, and they are rotated one by one:{lines}"
            ))
            .hint(format!("name one by its id: `skewer rotate start {}`", found[0].key))
        }
    }
}

/// Finds key A. `vouched`: the user names its consumers, so that nobody has to guess them.
pub(super) fn aim(
    setup: &Setup,
    flags: &SetupFlags,
    named: &Named,
    vouched: bool,
) -> anyhow::Result<Aim> {
    match named {
        Named::Id(id) => by_id(setup, id, vouched),
        Named::Fingerprint(print) => by_fingerprint(setup, flags, *print),
        Named::Reported(reported) => {
            let inventory = setup.inventory(Duration::ZERO);
            let (project, key) = row(&inventory, &reported.key)?;
            let looks = (
                key.redacted_value.as_deref() == Some(&*reported.masked),
                key.created_at == reported.created,
            );
            if looks != (true, true) {
                return Err(anyhow::anyhow!(
                    "the record of {} is not what the report saw any more",
                    reported.key
                ))
                .hint(
                    "verify again: `skewer verify --probe REPORT --format json -o verified.json`",
                );
            }
            Ok(listed(project, key, known(setup, reported.fingerprint)))
        }
    }
}

fn by_id(setup: &Setup, id: &str, vouched: bool) -> anyhow::Result<Aim> {
    let mut inventory = setup.inventory(LISTING_AGE);
    if row(&inventory, id).is_err() {
        // It may be younger than what is in the cache.
        inventory = setup.inventory(Duration::ZERO);
    }
    let (project, key) = row(&inventory, id)?;
    let mask = key.redacted_value.as_deref().and_then(Mask::parse);
    let fits = |value: &Secret| mask.as_ref().is_some_and(|mask| mask.fits(value.expose()));
    let mut holders = setup.holders(fits);
    let alone = |value: &Secret| inventory.fitting(value.expose()).len() == 1;
    let value = match &holders.values[..] {
        [] => None,
        [one] if alone(one) => Some(one.clone()),
        _ if vouched => {
            holders.places.clear();
            None
        }
        _ => {
            return Err(anyhow::anyhow!(
                "what {} hands out looks like {id}, and more than one key looks so: nobody can say whether it is that key",
                holders.places.join(", ")
            ))
            .hint("find out by hand which key it is, and name all consumers of this one with --consumer");
        }
    };
    Ok(listed(project, key, (value, holders)))
}

/// Whoever binds a fingerprint to a record: a store hands a key with it out, which is verified anew;
/// or a rotation in the journal made that key.
fn by_fingerprint(setup: &Setup, flags: &SetupFlags, print: Fingerprint) -> anyhow::Result<Aim> {
    let (value, holders) = known(setup, print);
    if let Some(value) = &value {
        let check = setup.check(value);
        return match &check.identity {
            Match::Confirmed(confirmed) => recorded(confirmed.record(), (Some(value.clone()), holders)),
            other => Err(anyhow::anyhow!(
                "{} hands out the key with fingerprint {print}, and its record is not confirmed, but {}: {}",
                holders.places.join(", "),
                other.as_str(),
                why_not(other, &check.verdict.explain()),
            ))
            .hint("if you know its record from elsewhere, name that by its id (`skewer keys list`)"),
        };
    }
    let journal = flags.journal_that_is(&setup.policy)?;
    let made = journal.map(|journal| journal.made(&print)).transpose()?;
    let Some(id) = made.flatten() else {
        return Err(anyhow::anyhow!(
            "nothing leads from the fingerprint {print} to a record: no store of your configuration hands this key out, and no rotation in the journal made it"
        ))
        .hint("name a report that confirms its record (`skewer scan --verify --probe --format json -o keys.json PATH`, or `skewer verify`), or the record's id");
    };
    let inventory = setup.inventory(Duration::ZERO);
    let (project, key) = row(&inventory, &id)?;
    Ok(listed(project, key, (None, holders)))
}

fn why_not(found: &Match, verdict: &Masked) -> String {
    match found {
        Match::Unknown(unknown) => unknown.why.detail.to_string(),
        Match::None => "no record of this organisation looks like it".to_owned(),
        Match::Ambiguous(_) => format!("{} records look like it", found.rows().len()),
        Match::Candidate(_) | Match::Confirmed(_) => format!("no second witness ({verdict})"),
    }
}

/// The key with this fingerprint, if a store hands it out; and the stores that do, or may.
fn known(setup: &Setup, print: Fingerprint) -> (Option<Secret>, Holders) {
    let mut holders = setup.holders(|value| value.fingerprint() == print);
    (holders.values.pop(), holders)
}

fn listed(project: &Project, key: &ApiKey, (value, holders): (Option<Secret>, Holders)) -> Aim {
    Aim {
        project: project.id.clone(),
        project_name: project.name.clone(),
        key: key.id.clone(),
        value,
        holders,
    }
}

/// The aim that a confirmed record is.
pub(super) fn recorded(
    record: &Record,
    (value, holders): (Option<Secret>, Holders),
) -> anyhow::Result<Aim> {
    let text = |masked: &Masked| masked.text().into_owned();
    let Some(project) = record.project.as_ref() else {
        bail!(is_admin(&record.id.text()));
    };
    Ok(Aim {
        project: text(project),
        project_name: record.project_name.as_ref().map(text),
        key: text(&record.id),
        value,
        holders,
    })
}

/// The row of this id.
fn row<'a>(inventory: &'a Inventory, id: &str) -> anyhow::Result<(&'a Project, &'a ApiKey)> {
    let of_id = |listed: Listed<'a>| match listed {
        Listed::Project(project, key) if key.id == id => Some((project, key)),
        _ => None,
    };
    if let Some(found) = inventory.rows().find_map(of_id) {
        return Ok(found);
    }
    let admin = |listed: Listed<'_>| matches!(listed, Listed::Admin(admin) if admin.id == id);
    if inventory.rows().any(admin) {
        bail!(is_admin(id));
    }
    match &inventory.listing {
        Listing::Incomplete(why) => bail!(
            "no key {id} in what could be listed, and the listing is not whole: {}",
            why.detail
        ),
        _ => bail!("no key {id} in this organisation; `skewer keys list` shows all"),
    }
}

fn is_admin(id: &str) -> String {
    format!(
        "key {id} is an admin key, and those are never deleted here: make another by hand (Organization settings → Admin keys; its scopes can't be read by the API), put it where this one is used, then delete this one there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "00112233445566778899aabbccddeeff";

    fn key(id: &str, verdict: &str, identity: &str) -> String {
        format!(
            r#"{{"fingerprint":"{PRINT}","verdict":"{verdict}","identity":"{identity}","records":[{{"profile":"acme","kind":"project","id":"{id}","masked":"sk-proj-***A","created_at":7}}]}}"#
        )
    }

    fn document(keys: &[String]) -> String {
        format!(
            r#"{{"schema":"skewer.report/1","verification":{{"keys":[{}]}},"findings":[]}}"#,
            keys.join(",")
        )
    }

    fn read(text: &str) -> anyhow::Result<Reported> {
        one_of(Path::new("r.json"), confirmed(text.as_bytes())?)
    }

    #[test]
    fn a_report_names_the_one_key_that_it_confirms() {
        let one = read(&document(&[
            key("key_1", "live", "candidate"),
            key("key_2", "dead", "confirmed"),
            key("key_3", "live", "confirmed"),
            key("key_4", "live", "ambiguous"),
        ]))
        .unwrap();
        assert_eq!(
            (&*one.key, &*one.profile, one.created),
            ("key_3", "acme", Some(7))
        );
        // Lines, with their summary at the end.
        let lines = format!(
            "{{\"schema\":\"skewer.line/1\",\"type\":\"finding\"}}\n{{\"schema\":\"skewer.line/1\",\"type\":\"summary\",\"verification\":{{\"keys\":[{}]}}}}\n",
            key("key_5", "unknown", "confirmed")
        );
        assert_eq!(read(&lines).unwrap().key, "key_5");
    }

    #[test]
    fn a_report_that_confirms_none_or_several_says_so() {
        let none = read(&document(&[key("key_1", "live", "candidate")])).unwrap_err();
        let said = format!("{none:#}");
        assert!(
            said.contains("of no key that may live (1 other keys in it)"),
            "{said}"
        );
        let several = read(&document(&[
            key("key_1", "live", "confirmed"),
            key("key_2", "live", "confirmed"),
        ]));
        let said = several.unwrap_err().to_string();
        assert!(
            said.contains("of 2 keys") && said.contains("key_1  live") && said.contains("key_2"),
            "{said}"
        );
        for garbage in ["", "{}", "[]", "{\"schema\":\"x\"}", "null\nnull"] {
            assert!(read(garbage).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn what_is_a_path_and_what_is_an_id() {
        assert!(matches!(Named::read("key_abc").unwrap(), Named::Id(id) if id == "key_abc"));
        assert!(matches!(Named::read(PRINT).unwrap(), Named::Fingerprint(_)));
        // A file of this name in the current directory would not be looked at.
        assert!(matches!(Named::read("Cargo").unwrap(), Named::Id(_)));
        assert!(Named::read("no/such/file").is_err());
        assert!(Named::read("none.json").is_err());
    }
}
