//! Key B's name: a template of the user's, then the rotation's id. Names that don't follow the
//! template, and keys that are older than the cadence allows, are told.

use std::collections::BTreeMap;

use super::organisation::Row;

/// The template that is used unless the user has another.
pub const TEMPLATE: &str = "{yy}-{mm}-{customer}-{project}-{env}";

/// Characters that a name may have at the most: the API takes no longer ones.
const LONGEST: usize = 100;

/// Why a template gives no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A brace without its partner.
    #[error("the name template {0:?} has a brace without its partner")]
    Brace(String),
    /// A word that nothing stands for.
    #[error(
        "the name template wants {{{word}}}, which nobody has set; known are {known}. Say what it stands for under [policy.words] in your config.toml, or change `name` in [policy]"
    )]
    Unknown {
        /// The word.
        word: String,
        /// The words that are known.
        known: String,
    },
}

/// What the words of a template stand for: the year and month of `now`, and the user's own.
pub fn words(now: jiff::Timestamp, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let date = now.to_zoned(jiff::tz::TimeZone::UTC);
    let mut words = own.clone();
    words.insert(
        "yy".to_owned(),
        format!("{:02}", date.year().rem_euclid(100)),
    );
    words.insert("yyyy".to_owned(), format!("{:04}", date.year()));
    words.insert("mm".to_owned(), format!("{:02}", date.month()));
    words.insert("dd".to_owned(), format!("{:02}", date.day()));
    words
}

/// The name that a template gives, with `id` at its end.
///
/// # Errors
/// See [`NameError`].
pub fn name(
    template: &str,
    words: &BTreeMap<String, String>,
    id: &str,
) -> Result<String, NameError> {
    let mut name = String::new();
    for part in parts(template)? {
        match part {
            Part::Text(text) => name.push_str(text),
            Part::Word(word) => {
                let value = words.get(word).ok_or_else(|| NameError::Unknown {
                    word: word.to_owned(),
                    known: words.keys().cloned().collect::<Vec<_>>().join(", "),
                })?;
                name.extend(
                    value
                        .chars()
                        .map(|c| match c.is_alphanumeric() || c == '.' {
                            true => c,
                            false => '-',
                        }),
                );
            }
        }
    }
    let room = LONGEST - id.len() - 1;
    let name: String = name.chars().take(room).collect();
    Ok(format!("{name}-{id}"))
}

enum Part<'t> {
    Text(&'t str),
    Word(&'t str),
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, NameError> {
    let wrong = || NameError::Brace(template.to_owned());
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(['{', '}']) {
        if rest.as_bytes()[open] == b'}' {
            return Err(wrong());
        }
        parts.push(Part::Text(&rest[..open]));
        let close = rest[open..].find('}').ok_or_else(wrong)? + open;
        let word = &rest[open + 1..close];
        if word.is_empty() || word.contains('{') {
            return Err(wrong());
        }
        parts.push(Part::Word(word));
        rest = &rest[close + 1..];
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Whether a name could have come from the template: the fixed text in order, and digits where
/// the date stands.
fn follows(template: &str, name: &str) -> bool {
    let Ok(parts) = parts(template) else {
        return false;
    };
    let mut pattern = String::from("^");
    for part in parts {
        match part {
            Part::Text(text) => pattern.push_str(&regex::escape(text)),
            Part::Word("yyyy") => pattern.push_str("[0-9]{4}"),
            Part::Word("yy" | "mm" | "dd") => pattern.push_str("[0-9]{2}"),
            Part::Word(_) => pattern.push_str(".+"),
        }
    }
    regex::Regex::new(&pattern).is_ok_and(|regex| regex.is_match(name))
}

/// A key that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its row.
    pub row: Row,
    /// Its age in days.
    pub days: i64,
    /// Whether it is older than the cadence allows.
    pub too_old: bool,
    /// Whether its name breaks the convention.
    pub misnamed: bool,
}

/// The keys of a listing that are too old, or whose names break the convention; the oldest first.
pub fn due(rows: &[Row], template: &str, days: i64, now: i64) -> Vec<Due> {
    let of = |row: &Row| {
        let age = (now - row.created).max(0) / 86_400;
        Due {
            row: row.clone(),
            days: age,
            too_old: age >= days,
            misnamed: !follows(template, &row.name),
        }
    };
    let mut due: Vec<Due> = rows.iter().map(of).collect();
    due.retain(|one| one.too_old || one.misnamed);
    due.sort_by_key(|one| std::cmp::Reverse(one.days));
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotate::Owner;

    fn own() -> BTreeMap<String, String> {
        [
            ("customer", "acme corp"),
            ("project", "chat"),
            ("env", "prod"),
        ]
        .map(|(word, value)| (word.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn a_name_says_when_and_for_whom_and_ends_with_the_id() {
        let words = words("2026-11-23T08:00:00Z".parse().unwrap(), &own());
        let made = name(TEMPLATE, &words, "0123abcd").unwrap();
        assert_eq!(made, "26-11-acme-corp-chat-prod-0123abcd");
        assert!(follows(TEMPLATE, &made));
        let long = name(&"x".repeat(300), &words, "0123abcd").unwrap();
        assert!(long.len() == LONGEST && long.ends_with("-0123abcd"));
    }

    #[test]
    fn a_template_with_a_mistake_says_what_is_wrong() {
        let words = words("2026-11-23T08:00:00Z".parse().unwrap(), &own());
        for template in ["{yy", "yy}", "{}", "{a{b}}"] {
            assert!(matches!(
                name(template, &words, "1"),
                Err(NameError::Brace(_))
            ));
        }
        let unknown = name("{team}", &words, "1").unwrap_err().to_string();
        assert!(unknown.contains("{team}") && unknown.contains("customer, dd, env"));
    }

    #[test]
    fn old_keys_and_strange_names_are_due_the_oldest_first() {
        let now = 1_800_000_000;
        let row = |name: &str, days: i64| Row {
            id: name.to_owned(),
            name: name.to_owned(),
            masked: String::new(),
            owner: Owner::User("u".to_owned()),
            created: now - days * 86_400,
            last_used: None,
            expires: None,
        };
        let rows = [
            row("26-11-a-b-c", 10),
            row("test key", 3),
            row("26-08-a-b-c", 91),
            row("old", 200),
        ];
        let due = due(&rows, TEMPLATE, 90, now);
        let told: Vec<_> = due
            .iter()
            .map(|one| (one.row.name.as_str(), one.too_old, one.misnamed))
            .collect();
        assert_eq!(
            told,
            [
                ("old", true, true),
                ("26-08-a-b-c", true, false),
                ("test key", false, true)
            ]
        );
    }
}
