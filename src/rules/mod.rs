//! What a key looks like: rules from `rules/*.toml`, which are embedded, and the user's own in the
//! same form. Parsing validates; whoever holds a [`Rules`] holds rules that work.

mod places;
mod shape;
mod template;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

pub use self::places::{Place, PlaceError, System};
pub use self::shape::{Alphabet, Halves, LONGEST_SLUG, Prefix, Shape, Value};
pub use self::template::{Filled, MARKER, Template, TemplateError};
use crate::finding::{RuleInfo, Severity};

/// The embedded rule files. A new file is one line here.
const BUILT_IN: &[(&str, &str)] = &[
    ("openai.toml", include_str!("../../rules/openai.toml")),
    (
        "openai-other.toml",
        include_str!("../../rules/openai-other.toml"),
    ),
    ("azure.toml", include_str!("../../rules/azure.toml")),
];

/// Where keys settle: no rules, but data of the same kind.
const PLACES: &str = include_str!("../../rules/places.toml");

/// A user's anchor has at least this many bytes: shorter ones stop the search too often.
pub const SHORTEST_ANCHOR: usize = 3;

/// How many anchors all rules may have together; more would leave the fast search.
pub const MOST_ANCHORS: usize = 512;

/// One rule, parsed and checked.
#[derive(Debug)]
pub struct Rule {
    /// What a finding carries along.
    pub info: Arc<RuleInfo>,
    /// Literals of which every key, in its plain form, contains at least one (`near` rules: its
    /// surroundings do).
    pub anchors: Vec<String>,
    /// What stands around an anchor if it is a key.
    pub shape: Shape,
    /// Texts that hold a key of this rule.
    pub must_match: Vec<Template>,
    /// Texts that hold none.
    pub must_not_match: Vec<Template>,
    /// Whether it is one of ours: a user's secret may have little entropy, so its fingerprint is
    /// salted.
    pub built_in: bool,
    /// The file it came from.
    pub origin: String,
}

/// All rules of a run.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    hash: [u8; 32],
}

/// Why a rule file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The file could not be read.
    #[error("can't read the rules in {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It isn't TOML, or not of this form.
    #[error("{origin} is not a file of rules: {error}")]
    Malformed {
        /// The file.
        origin: String,
        /// What the parser said, with the line.
        error: Box<toml::de::Error>,
    },
    /// A rule contradicts itself.
    #[error("rule `{rule}` in {origin}: {problem}")]
    Invalid {
        /// The file.
        origin: String,
        /// The rule's id.
        rule: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    title: String,
    kind: String,
    severity: Severity,
    remedy: String,
    anchors: Vec<String>,
    shape: Shape,
    #[serde(default)]
    must_match: Vec<String>,
    #[serde(default)]
    must_not_match: Vec<String>,
}

impl Rules {
    /// The embedded rules.
    pub fn built_in() -> Self {
        Self::with_files(std::iter::empty()).expect("the embedded rules are parsed by a test")
    }

    /// The embedded rules and the user's, each given as its origin and text.
    pub fn with_files<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RuleError> {
        let mut rules = Vec::new();
        let mut hash = Sha256::new();
        let ours = BUILT_IN.iter().map(|(name, text)| (*name, *text, true));
        let theirs = files.into_iter().map(|(name, text)| (name, text, false));
        for (origin, text, built_in) in ours.chain(theirs) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
            let file: File = toml::from_str(text).map_err(|error| RuleError::Malformed {
                origin: origin.to_owned(),
                error: Box::new(error),
            })?;
            for written in file.rule {
                let rule = check(written, origin, built_in)?;
                if let Some(other) = rules.iter().find(|r: &&Rule| r.info.id == rule.info.id) {
                    return Err(RuleError::Invalid {
                        origin: origin.to_owned(),
                        rule: rule.info.id.clone(),
                        problem: format!("{} has a rule of this id already", other.origin),
                    });
                }
                rules.push(rule);
            }
        }
        let anchors: usize = rules.iter().map(|rule| rule.anchors.len()).sum();
        if anchors > MOST_ANCHORS {
            return Err(RuleError::Invalid {
                origin: "all files together".to_owned(),
                rule: "*".to_owned(),
                problem: format!(
                    "{anchors} anchors; at most {MOST_ANCHORS} can be searched at once"
                ),
            });
        }
        Ok(Self {
            rules,
            hash: hash.finalize().into(),
        })
    }

    /// The rules, in the order of their files.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Changes whenever a rule does: half of the key to any cache of what was searched.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

fn check(written: Written, origin: &str, built_in: bool) -> Result<Rule, RuleError> {
    let id = written.id;
    let invalid = |problem: String| RuleError::Invalid {
        origin: origin.to_owned(),
        rule: id.clone(),
        problem,
    };
    if id.is_empty()
        || !id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        return Err(invalid(
            "an id has lower-case letters, digits and hyphens only".to_owned(),
        ));
    }
    if written.anchors.is_empty() {
        return Err(invalid("it has no anchor, so nothing would ever be looked at; name a literal that every key contains".to_owned()));
    }
    if let Some(short) = written.anchors.iter().find(|a| a.len() < SHORTEST_ANCHOR) {
        return Err(invalid(format!(
            "the anchor {short:?} is too short; take at least {SHORTEST_ANCHOR} bytes, or every file would stop the search"
        )));
    }
    written.shape.check(&written.anchors).map_err(&invalid)?;
    let parse = |texts: &[String]| {
        texts
            .iter()
            .map(|text| Template::parse(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(error.to_string()))
    };
    Ok(Rule {
        must_match: parse(&written.must_match)?,
        must_not_match: parse(&written.must_not_match)?,
        info: Arc::new(RuleInfo {
            id: id.clone(),
            title: written.title,
            kind: written.kind,
            severity: written.severity,
            remedy: written.remedy,
        }),
        anchors: written.anchors,
        shape: written.shape,
        built_in,
        origin: origin.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: &str = r#"
        [[rule]]
        id = "acme"
        title = "Acme token"
        kind = "token"
        severity = "low"
        remedy = "Ask Acme."
        anchors = ["acme_"]
        [rule.shape.token]
        prefix = "acme_"
        alphabet = "alnum"
        lengths = [24]
    "#;

    fn problem(text: &str) -> String {
        Rules::with_files([("mine.toml", text)])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_embedded_rules_parse_and_each_says_what_it_must_find() {
        let rules = Rules::built_in();
        assert!(rules.iter().count() >= 7);
        for rule in rules.iter() {
            assert!(
                !rule.must_match.is_empty() && !rule.must_not_match.is_empty(),
                "{}",
                rule.info.id
            );
        }
    }

    #[test]
    fn users_add_rules_in_the_same_form() {
        let rules = Rules::with_files([("mine.toml", MINE)]).unwrap();
        assert!(
            rules
                .iter()
                .any(|rule| rule.info.id == "acme" && !rule.built_in)
        );
        assert_ne!(rules.hash(), Rules::built_in().hash());
    }

    #[test]
    fn mistakes_are_named_with_their_rule() {
        assert!(
            problem(&MINE.replace("[\"acme_\"]", "[]"))
                .contains("`acme` in mine.toml: it has no anchor")
        );
        assert!(problem(&MINE.replace("[\"acme_\"]", "[\"ac\"]")).contains("too short"));
        assert!(problem(&MINE.replace("lengths", "lenghts")).contains("lenghts"));
        assert!(problem(&MINE.replace("\"acme\"", "\"openai-user\"")).contains("already"));
        assert!(problem(&MINE.replace("[24]", "[]")).contains("length"));
    }
}
