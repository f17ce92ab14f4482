//! The organisation as the Admin API shows it.

use std::time::Duration;

use super::organisation::{Answer, CallError, Minted, Organisation, Owner, Row, Scopes, Use};
use crate::openai::{
    Access, Admin, ApiKey, AuditFilter, Capability, Cause, Error, KeyChange, NewAccount,
    NewAccountKey, NewKey, Period,
};
use crate::secret::Secret;
use crate::verify::{self, Glance};

/// The calls of the Admin API, by an admin key.
pub struct Api<'a> {
    admin: &'a Admin,
}

impl<'a> Api<'a> {
    /// Asks nothing yet.
    pub fn new(admin: &'a Admin) -> Self {
        Self { admin }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if error.may_have_happened() {
            return Self::Unsure(text);
        }
        match &error.cause {
            Cause::Refused(refusal) if refusal.status != 429 => Self::Refused(text),
            _ => Self::NotDone(text),
        }
    }
}

/// A row of the listing; one without what decides about deletion makes the listing useless.
///
/// # Errors
/// What it lacks.
pub fn row(key: &ApiKey) -> Result<Row, CallError> {
    let lacks =
        |what: &str| CallError::Refused(format!("the listing tells no {what} of key {}", key.id));
    let owner = key.owner.as_ref().ok_or_else(|| lacks("owner"))?;
    let id = owner
        .person()
        .and_then(|person| person.id.clone())
        .ok_or_else(|| lacks("owner's id"))?;
    Ok(Row {
        owner: match owner.is_service_account() {
            true => Owner::ServiceAccount(id),
            false => Owner::User(id),
        },
        name: key.name.clone().unwrap_or_default(),
        masked: key
            .redacted_value
            .clone()
            .ok_or_else(|| lacks("masked form"))?,
        created: key.created_at.ok_or_else(|| lacks("time of creation"))?,
        last_used: key.last_used_at,
        expires: key.expires_at,
        id: key.id.clone(),
    })
}

fn minted(key: NewKey, account: Option<String>) -> Minted {
    Minted {
        id: key.id,
        account,
        value: key.value,
    }
}

/// What is gone already is deleted.
fn deleted<T>(outcome: Result<T, Error>) -> Result<(), CallError> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

impl Organisation for Api<'_> {
    fn keys(&self, project: &str) -> Result<Vec<Row>, CallError> {
        let keys = self.admin.api_keys(project, Access::Any).all()?;
        keys.iter().map(row).collect()
    }

    fn time(&self) -> Option<i64> {
        self.admin.service().server_time()
    }

    fn accounts(&self, project: &str) -> Result<Vec<(String, String)>, CallError> {
        let accounts = self.admin.service_accounts(project).all()?;
        let pair = accounts.into_iter();
        Ok(pair
            .map(|account| (account.id, account.name.unwrap_or_default()))
            .collect())
    }

    fn create_key(
        &self,
        project: &str,
        account: &str,
        name: &str,
        scopes: &Scopes,
        expires_in: Option<Duration>,
    ) -> Result<Minted, CallError> {
        let scopes = match scopes {
            Scopes::All => None,
            Scopes::Some(scopes) if scopes.is_empty() => {
                let text = "an empty list of scopes means all of them: say so, or name some";
                return Err(CallError::Refused(text.to_owned()));
            }
            Scopes::Some(scopes) => Some(scopes.as_slice()),
        };
        let new = NewAccountKey {
            name: Some(name),
            scopes,
            expires_in,
        };
        let key = self
            .admin
            .create_service_account_key(project, account, &new)?;
        Ok(minted(key, None))
    }

    fn create_account(
        &self,
        project: &str,
        name: &str,
        expires_in: Option<Duration>,
    ) -> Result<Minted, CallError> {
        let new = NewAccount {
            name,
            without_key: false,
            expires_in,
        };
        let made = self.admin.create_service_account(project, &new)?;
        let key = made.key.ok_or_else(|| {
            CallError::Unsure("the API made a service account and told no key".to_owned())
        })?;
        Ok(minted(key, Some(made.account.id)))
    }

    fn expire_key(&self, project: &str, key: &str, time: Duration) -> Result<(), CallError> {
        let change = KeyChange::ExpiresIn(time);
        Ok(self.admin.update_api_key(project, key, &change).map(drop)?)
    }

    fn delete_key(&self, project: &str, key: &str) -> Result<(), CallError> {
        deleted(self.admin.delete_api_key(project, key))
    }

    fn delete_account(&self, project: &str, account: &str) -> Result<(), CallError> {
        deleted(self.admin.delete_service_account(project, account))
    }

    fn probe(&self, key: &Secret) -> Answer {
        match verify::glance(self.admin.service(), key) {
            Glance::LetIn => Answer::Live,
            Glance::Refused => Answer::Dead,
            Glance::Unclear(why) => Answer::Unknown(why),
        }
    }

    fn used(&self, _: &str, key: &str, since: i64) -> Result<Use, CallError> {
        let period = Period {
            from: since,
            to: None,
            bucket: Duration::from_secs(60),
        };
        let mut used = Use::default();
        for capability in Capability::ALL.into_iter().filter(|one| one.by_key()) {
            for bucket in self.admin.usage(capability, period, &[key])? {
                // An API that does not heed the filter would accuse this key of others' work.
                let ours = |row: &&crate::openai::Usage| {
                    row.api_key_id.as_deref().is_none_or(|id| id == key)
                };
                for row in bucket.results.iter().filter(ours) {
                    used.requests += row.requests();
                    let model = row.model.clone();
                    let model = model.unwrap_or_else(|| capability.as_str().to_owned());
                    *used.models.entry(model).or_default() += row.requests();
                }
            }
        }
        used.models.retain(|_, requests| *requests > 0);
        Ok(used)
    }

    fn saw_deletion(&self, key: &str) -> Result<Option<bool>, CallError> {
        let filter = AuditFilter {
            kinds: &["api_key.deleted"],
            resources: &[key],
            ..AuditFilter::default()
        };
        match self.admin.audit_log(&filter).all() {
            Ok(events) => Ok(Some(
                events.iter().any(|event| event.resource() == Some(key)),
            )),
            // Not switched on, or not for this admin key.
            Err(error) if error.refusal().is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_archived(&self, project: &str) -> Result<bool, CallError> {
        Ok(self.admin.project(project)?.is_archived())
    }

    fn scopes(&self, key: &str) -> Result<Option<Scopes>, CallError> {
        let filter = AuditFilter {
            kinds: &["api_key.created", "api_key.updated"],
            resources: &[key],
            ..AuditFilter::default()
        };
        let events = match self.admin.audit_log(&filter).all() {
            Err(error) if error.refusal().is_some() => return Ok(None),
            other => other?,
        };
        // The newest first.
        let mut ours = events.iter().filter(|one| one.resource() == Some(key));
        let scopes = ours.find_map(|event| event.scopes());
        Ok(scopes.map(|scopes| match scopes.is_empty() {
            true => Scopes::All,
            false => Scopes::Some(scopes),
        }))
    }

    fn changes_single_keys(&self, project: &str, key: &str) -> Result<bool, CallError> {
        Ok(self.admin.changes_keys(project, key)?)
    }
}
