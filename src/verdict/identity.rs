//! From a masked form to a record, and how sure that is. A masked form hides nearly all of a key, so
//! one row that fits is a candidate, however unique. Only a second witness confirms it, only for a
//! whole listing, and only if no other row fits: the types below leave no other way to a
//! [`Confirmed`].

use serde::Serialize;

use super::Why;
use crate::secret::Masked;

/// A key's row in the Admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The profile that listed it.
    pub profile: String,
    /// The organisation, as its answers name it.
    pub organisation: Option<Masked>,
    /// What it is a key of.
    pub kind: RecordKind,
    /// The project's id; `None` for an admin key.
    pub project: Option<Masked>,
    /// The project's name.
    pub project_name: Option<Masked>,
    /// Whether the project was archived.
    pub archived: bool,
    /// The key's id.
    pub id: Masked,
    /// The key's name.
    pub name: Option<Masked>,
    /// Its masked form.
    pub masked: Masked,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// When it was made, in seconds since 1970.
    pub created_at: Option<i64>,
    /// When it was last used; `None`: never.
    pub last_used_at: Option<i64>,
    /// When it ends; `None`: never, or nobody says.
    pub expires_at: Option<i64>,
    /// Its scopes, where the audit log tells; an empty list means all permissions.
    pub scopes: Option<Vec<Masked>>,
}

/// What a record's key is a key of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A project.
    Project,
    /// The organisation's administration.
    Admin,
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// `user`, `service_account`, or what the API says.
    pub kind: Masked,
    /// The id. It doesn't tell what it is.
    pub id: Option<Masked>,
    /// The name.
    pub name: Option<Masked>,
    /// The address, of a user.
    pub email: Option<Masked>,
    /// The role.
    pub role: Option<Masked>,
}

/// How whole the listings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Every key of every project, and every admin key.
    Complete,
    /// Every page, but an API that may leave out keys whose owner has lost access to the project
    /// (before July 2026).
    Visible,
    /// Less than that.
    Incomplete(Why),
}

/// Whose key it is, and how sure that is.
#[derive(Clone, Debug)]
pub enum Match {
    /// No row fits, and every row was seen: it is not a key of these organisations.
    None,
    /// One row fits. That is no identity yet.
    Candidate(Candidate),
    /// One row fits, and a second witness agrees.
    Confirmed(Confirmed),
    /// Several rows fit: nothing is ever done to any of them.
    Ambiguous(Ambiguous),
    /// Nobody knows.
    Unknown(Unidentified),
}

/// One row that fits, of a whole listing.
#[derive(Clone, Debug)]
pub struct Candidate(Box<Record>);

/// A record and its second witness.
#[derive(Clone, Debug)]
pub struct Confirmed {
    record: Box<Record>,
    witness: Witness,
}

/// Rows that all fit.
#[derive(Clone, Debug)]
pub struct Ambiguous(Vec<Record>);

/// Why nobody knows, and what fitted all the same.
#[derive(Clone, Debug)]
pub struct Unidentified {
    /// Why.
    pub why: Why,
    rows: Vec<Record>,
}

/// Who else says that a record is the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The key was let in, and the answer's headers name the record's organisation and project.
    Headers,
    /// The record's last use moved when the key was used, and had been still before.
    LastUse,
    /// An operator typed the record's id.
    Operator,
}

/// What a witness says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The headers of an answer to the key itself.
    Headers {
        /// The organisation.
        organisation: Option<String>,
        /// The project's id.
        project: Option<String>,
    },
    /// The record's row, before and after the key was used. Times are in seconds since 1970.
    LastUse {
        /// The row's last use before.
        before: Option<i64>,
        /// When the key was used.
        used_at: i64,
        /// The row's last use after.
        after: Option<i64>,
        /// By how much clocks may differ, and how long a row must have been still before.
        slack: i64,
    },
    /// A record's id, as an operator typed it.
    Typed(String),
}

/// What decides about a match: the rows that fit, and how much was seen.
pub struct Seen {
    /// The rows whose masked form fits, of all organisations.
    pub rows: Vec<Record>,
    /// The least whole of the listings.
    pub listing: Listing,
}

/// What the rows that fit come to.
pub fn decide(seen: Seen) -> Match {
    let Seen { mut rows, listing } = seen;
    match (listing, rows.len()) {
        (Listing::Incomplete(why), _) => Match::Unknown(Unidentified { why, rows }),
        (Listing::Complete, 0) => Match::None,
        (Listing::Visible, 0) => Match::Unknown(Unidentified {
            why: Why::new(
                "not_all_visible",
                "no row fits, but this API may leave out keys whose owner has lost access",
            ),
            rows,
        }),
        (Listing::Complete | Listing::Visible, 1) => {
            Match::Candidate(Candidate(Box::new(rows.remove(0))))
        }
        (Listing::Complete | Listing::Visible, _) => Match::Ambiguous(Ambiguous(rows)),
    }
}

impl Candidate {
    /// The row.
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// What becomes of it when a witness has spoken: confirmed, refuted, or what it was.
    pub fn hear(self, evidence: &Evidence) -> Match {
        let record = self.0;
        match evidence {
            Evidence::Headers {
                organisation,
                project,
            } => Self::hear_headers(record, organisation.as_deref(), project.as_deref()),
            Evidence::LastUse {
                before,
                used_at,
                after,
                slack,
            } => {
                let still = before.is_none_or(|before| before < used_at - slack);
                let moved = after.is_some_and(|after| (after - used_at).abs() <= *slack);
                match still && moved {
                    true => Match::Confirmed(Confirmed {
                        record,
                        witness: Witness::LastUse,
                    }),
                    false => Match::Candidate(Self(record)),
                }
            }
            Evidence::Typed(id) => match id.as_bytes() == record.id.as_bytes() {
                true => Match::Confirmed(Confirmed {
                    record,
                    witness: Witness::Operator,
                }),
                false => Match::Candidate(Self(record)),
            },
        }
    }

    fn hear_headers(
        record: Box<Record>,
        organisation: Option<&str>,
        project: Option<&str>,
    ) -> Match {
        let (Some(organisation), Some(project)) = (organisation, project) else {
            return Match::Candidate(Self(record));
        };
        let is = |own: &Option<Masked>, said: &str| {
            own.as_ref()
                .is_some_and(|own| own.as_bytes() == said.as_bytes())
        };
        // A project's id is the only one of its kind. The organisation's name is compared where
        // its own answers tell it.
        let same_organisation =
            record.organisation.is_none() || is(&record.organisation, organisation);
        if is(&record.project, project) && same_organisation {
            return Match::Confirmed(Confirmed {
                record,
                witness: Witness::Headers,
            });
        }
        Match::Unknown(Unidentified {
            why: Why::new(
                "refuted",
                "a row fits, but the key itself was let in to another project or organisation",
            ),
            rows: vec![*record],
        })
    }
}

impl Confirmed {
    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Who agreed.
    pub fn witness(&self) -> Witness {
        self.witness
    }
}

impl Match {
    /// Nobody asked, or nobody could.
    pub fn unknown(why: Why) -> Self {
        Self::Unknown(Unidentified {
            why,
            rows: Vec::new(),
        })
    }

    /// A stable word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Candidate(_) => "candidate",
            Self::Confirmed(_) => "confirmed",
            Self::Ambiguous(_) => "ambiguous",
            Self::Unknown(_) => "unknown",
        }
    }

    /// All rows that fit, whatever they are worth.
    pub fn rows(&self) -> &[Record] {
        match self {
            Self::None => &[],
            Self::Candidate(Candidate(record)) => std::slice::from_ref(record),
            Self::Confirmed(confirmed) => std::slice::from_ref(&confirmed.record),
            Self::Ambiguous(Ambiguous(rows)) => rows,
            Self::Unknown(Unidentified { rows, .. }) => rows,
        }
    }

    /// The one record that this is about, if there is one.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Candidate(candidate) => Some(candidate.record()),
            Self::Confirmed(confirmed) => Some(confirmed.record()),
            Self::None | Self::Ambiguous(_) | Self::Unknown(_) => None,
        }
    }

    /// The same match, with more known of its records.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl Fn(&Record) -> Option<Vec<Masked>>) -> Self {
        let one = |record: &mut Record| record.scopes = scopes(record);
        match &mut self {
            Self::None => {}
            Self::Candidate(Candidate(record)) => one(record),
            Self::Confirmed(confirmed) => one(&mut confirmed.record),
            Self::Ambiguous(Ambiguous(rows)) | Self::Unknown(Unidentified { rows, .. }) => {
                rows.iter_mut().for_each(one);
            }
        }
        self
    }

    /// Hears a witness; only a candidate can be moved by one.
    #[must_use]
    pub fn hear(self, evidence: &Evidence) -> Self {
        match self {
            Self::Candidate(candidate) => candidate.hear(evidence),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(id: u8, project: u8, organisation: Option<u8>) -> Record {
        let text = |kind: &str, n: u8| Masked::vouched(format!("{kind}_{n}"));
        Record {
            profile: "default".to_owned(),
            organisation: organisation.map(|n| text("org", n)),
            kind: RecordKind::Project,
            project: Some(text("proj", project)),
            project_name: None,
            archived: false,
            id: text("key", id),
            name: None,
            masked: Masked::vouched("sk-proj-***abcA"),
            owner: None,
            created_at: None,
            last_used_at: None,
            expires_at: None,
            scopes: None,
        }
    }

    fn listings() -> impl Strategy<Value = Listing> {
        prop_oneof![
            Just(Listing::Complete),
            Just(Listing::Visible),
            Just(Listing::Incomplete(Why::new("revoked", "x"))),
        ]
    }

    fn evidence() -> impl Strategy<Value = Evidence> {
        let header = |kind: &'static str| {
            proptest::option::of((0u8..3).prop_map(move |n| format!("{kind}_{n}")))
        };
        prop_oneof![
            (header("org"), header("proj")).prop_map(|(organisation, project)| Evidence::Headers {
                organisation,
                project
            }),
            (
                proptest::option::of(0i64..400),
                100i64..300,
                proptest::option::of(0i64..400),
                0i64..50
            )
                .prop_map(|(before, used_at, after, slack)| Evidence::LastUse {
                    before,
                    used_at,
                    after,
                    slack
                }),
            (0u8..4).prop_map(|n| Evidence::Typed(format!("key_{n}"))),
        ]
    }

    /// What an honest reader of the rule would say.
    fn agrees(record: &Record, evidence: &Evidence) -> bool {
        let text = |masked: &Option<Masked>| masked.as_ref().map(|m| m.text().into_owned());
        match evidence {
            Evidence::Headers {
                organisation: Some(organisation),
                project: Some(project),
            } => {
                text(&record.project).as_ref() == Some(project)
                    && text(&record.organisation).is_none_or(|own| own == *organisation)
            }
            Evidence::Headers { .. } => false,
            Evidence::LastUse {
                before,
                used_at,
                after,
                slack,
            } => {
                before.unwrap_or(i64::MIN) < used_at - slack
                    && after.is_some_and(|a| a >= used_at - slack && a <= used_at + slack)
            }
            Evidence::Typed(id) => *id == record.id.text(),
        }
    }

    proptest! {
        #[test]
        fn no_ambiguous_incomplete_or_unwitnessed_match_is_ever_called_confirmed(
            rows in proptest::collection::vec((0u8..4, 0u8..3, proptest::option::of(0u8..3)), 0..4),
            listing in listings(),
            witnesses in proptest::collection::vec(evidence(), 0..4),
        ) {
            let rows: Vec<Record> = rows.into_iter().map(|(i, p, o)| record(i, p, o)).collect();
            let seen = Seen { rows: rows.clone(), listing: listing.clone() };
            let found = witnesses.iter().fold(decide(seen), Match::hear);
            let whole = !matches!(listing, Listing::Incomplete(_));
            let witnessed = rows.first().is_some_and(|row| witnesses.iter().any(|w| agrees(row, w)));
            if let Match::Confirmed(confirmed) = &found {
                prop_assert!(whole && rows.len() == 1 && witnessed);
                prop_assert_eq!(confirmed.record(), &rows[0]);
            }
            match (&listing, rows.len()) {
                (Listing::Complete, 0) => prop_assert!(matches!(found, Match::None)),
                (Listing::Complete | Listing::Visible, 2..) => {
                    prop_assert!(matches!(found, Match::Ambiguous(_)));
                }
                (Listing::Incomplete(_), _) | (Listing::Visible, 0) => {
                    prop_assert!(matches!(found, Match::Unknown(_)));
                }
                _ => prop_assert!(found.rows().len() == 1),
            }
            prop_assert_eq!(found.rows().len(), rows.len());
        }
    }

    #[test]
    fn a_witness_against_it_refutes_a_candidate() {
        let seen = || Seen {
            rows: vec![record(1, 1, Some(1))],
            listing: Listing::Complete,
        };
        let headers = |organisation: &str, project: &str| Evidence::Headers {
            organisation: Some(organisation.to_owned()),
            project: Some(project.to_owned()),
        };
        let heard = |evidence: Evidence| decide(seen()).hear(&evidence);
        assert_eq!(heard(headers("org_1", "proj_1")).as_str(), "confirmed");
        assert_eq!(heard(headers("org_1", "proj_2")).as_str(), "unknown");
        assert_eq!(heard(headers("org_2", "proj_1")).as_str(), "unknown");
        // A row that is used all the time moves on its own.
        let busy = Evidence::LastUse {
            before: Some(990),
            used_at: 1000,
            after: Some(1001),
            slack: 60,
        };
        assert_eq!(heard(busy).as_str(), "candidate");
        let quiet = Evidence::LastUse {
            before: None,
            used_at: 1000,
            after: Some(1001),
            slack: 60,
        };
        assert_eq!(heard(quiet).as_str(), "confirmed");
    }
}
