//! What the organisation's books say of keys since they leaked. All matched keys of an organisation
//! are asked about at once: an endpoint grants few requests a minute.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::why;
use crate::openai::{Admin, AuditEvent, AuditFilter, Capability, Error, ModelPermissions, Period};
use crate::secret::Masked;
use crate::verdict::{Deed, Exposure, Since, Spent};

/// Ids in one request: addresses have a length that servers bear.
const MOST_IDS: usize = 100;

const DAY: Duration = Duration::from_secs(86_400);

/// A key to be asked about.
pub(super) struct Exposed<'a> {
    pub(super) id: &'a str,
    /// Its project's id; `None` for an admin key.
    pub(super) project: Option<&'a str>,
    pub(super) since: Since,
}

/// What the books say of each, in the order of `keys`; and the scopes that the audit log tells.
pub(super) fn expose(
    admin: &Admin,
    keys: &[Exposed<'_>],
    longest: Duration,
    lag: Duration,
) -> (Vec<Exposure>, HashMap<String, Vec<Masked>>) {
    let now = admin.service().clock().now().as_second();
    let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
    let earliest = now.saturating_sub(longest);
    let from = |key: &Exposed<'_>| key.since.at.clamp(earliest, now);
    let mut books = Books {
        admin,
        ids: keys.iter().map(|key| key.id).collect(),
        from: keys.iter().map(from).min().unwrap_or(now),
        used: HashMap::new(),
        gaps: Vec::new(),
    };
    books.usage();
    books.costs();
    let events = books.events();
    let mut scopes = HashMap::new();
    for event in events.iter().flatten() {
        if let (Some(key), Some(found)) = (event.resource(), event.scopes()) {
            let found: Vec<Masked> = found.into_iter().map(Masked::vouched).collect();
            scopes.insert(key.to_owned(), found);
        }
    }
    let mut allowed = Allowed::default();
    let exposures = keys.iter().map(|key| {
        let mut exposure = Exposure {
            from: from(key),
            to: now,
            gaps: books.gaps.clone(),
            ..Exposure::default()
        };
        if key.since.at < earliest {
            let text = format!("only the last {} days were asked about", longest / 86_400);
            exposure.gaps.push(Masked::vouched(text));
        }
        let mut models = HashSet::new();
        for (end, day, model, spent) in books.used.get(key.id).into_iter().flatten() {
            if *end <= exposure.from {
                continue;
            }
            if spent.requests > 0 {
                models.insert(model.clone());
            }
            let of_day = exposure.spent.entry(day.clone()).or_default();
            of_day.entry(Masked::vouched(model.as_str())).or_default().add(spent);
        }
        if exposure.spent.is_empty() {
            let text = "no usage is reported for this time; that is no proof of none";
            exposure.gaps.push(Masked::vouched(text));
        }
        let text = format!(
            "usage lags, nobody says by how much: the last {} min may be missing; days are whole days of UTC",
            lag.as_secs().div_ceil(60)
        );
        exposure.gaps.push(Masked::vouched(text));
        match allowed.foreign(admin, key.project, models) {
            Ok(foreign) => exposure.foreign_models = foreign,
            Err(error) => exposure.gaps.push(why(&error).detail),
        }
        exposure.deeds = events.as_ref().map(|all| deeds(all, key.id, exposure.from));
        if exposure.deeds.as_ref().is_some_and(Vec::is_empty) {
            let text = "the audit log tells nothing of this key: it may be switched off, or not reach back so far";
            exposure.gaps.push(Masked::vouched(text));
        }
        exposure
    });
    (exposures.collect(), scopes)
}

/// The end of a bucket, its day, the model, what was used.
type Use = (i64, String, String, Spent);

struct Books<'a> {
    admin: &'a Admin,
    ids: Vec<&'a str>,
    from: i64,
    used: HashMap<String, Vec<Use>>,
    gaps: Vec<Masked>,
}

impl Books<'_> {
    fn period(&self) -> Period {
        Period {
            from: self.from,
            to: None,
            bucket: DAY,
        }
    }

    /// Beyond some keys it is less work to read everybody's usage.
    fn named(&self) -> &[&str] {
        match self.ids.len() {
            0..=MOST_IDS => &self.ids,
            _ => &[],
        }
    }

    fn gap(&mut self, error: &Error) {
        self.gaps.push(why(error).detail);
    }

    fn usage(&mut self) {
        for capability in Capability::ALL.into_iter().filter(|c| c.by_key()) {
            match self.admin.usage(capability, self.period(), self.named()) {
                Ok(buckets) => {
                    for bucket in buckets {
                        for row in bucket.results {
                            let Some(key) = row.api_key_id.clone() else {
                                continue;
                            };
                            let model = row.model.clone();
                            let model = model.unwrap_or_else(|| capability.as_str().to_owned());
                            let spent = Spent {
                                requests: row.requests(),
                                input_tokens: row.input_tokens.unwrap_or(0),
                                output_tokens: row.output_tokens.unwrap_or(0),
                                ..Spent::default()
                            };
                            let used = (bucket.end_time, day(bucket.start_time), model, spent);
                            self.used.entry(key).or_default().push(used);
                        }
                    }
                }
                Err(error) => self.gap(&error),
            }
        }
        let text = "vector stores and code interpreter sessions are not booked by key";
        self.gaps.push(Masked::vouched(text));
    }

    fn costs(&mut self) {
        match self.admin.costs(self.period(), self.named()) {
            Ok(buckets) => {
                for bucket in buckets {
                    for row in bucket.results {
                        let (Some(key), Some(amount)) = (row.api_key_id, row.amount) else {
                            continue;
                        };
                        // `gpt-4o-mini, input`: the bill's lines begin with the model.
                        let item = row.line_item.unwrap_or_default();
                        let model = item.split(',').next().unwrap_or_default().trim();
                        let model = if model.is_empty() {
                            "(not told)"
                        } else {
                            model
                        };
                        let mut spent = Spent::default();
                        let currency = amount.currency.as_deref().unwrap_or("?");
                        spent.cost.add(amount.value, currency);
                        let used = (
                            bucket.end_time,
                            day(bucket.start_time),
                            model.to_owned(),
                            spent,
                        );
                        self.used.entry(key).or_default().push(used);
                    }
                }
            }
            Err(error) => self.gap(&error),
        }
    }

    /// What happened to the keys, whenever, and what they did in the window; the oldest first.
    fn events(&mut self) -> Option<Vec<AuditEvent>> {
        let mut found: BTreeMap<(i64, String), AuditEvent> = BTreeMap::new();
        for ids in self.ids.clone().chunks(MOST_IDS) {
            let suffered = AuditFilter {
                resources: ids,
                ..AuditFilter::default()
            };
            let done = AuditFilter {
                actors: ids,
                since: Some(self.from),
                ..AuditFilter::default()
            };
            for filter in [suffered, done] {
                match self.admin.audit_log(&filter).all() {
                    Ok(events) => found.extend(
                        events
                            .into_iter()
                            .map(|e| ((e.effective_at, e.id.clone()), e)),
                    ),
                    Err(error) => {
                        self.gap(&error);
                        return None;
                    }
                }
            }
        }
        Some(found.into_values().collect())
    }
}

/// The events of one key: its own life, and what it did in the window.
fn deeds(events: &[AuditEvent], key: &str, from: i64) -> Vec<Deed> {
    let of = |event: &AuditEvent| {
        let actor = event.actor.as_ref();
        let by_the_key = actor.and_then(|actor| actor.key()) == Some(key);
        let concerns = event.resource() == Some(key) || by_the_key && event.effective_at >= from;
        concerns.then(|| Deed {
            at: event.effective_at,
            kind: Masked::vouched(event.kind.as_str()),
            by_the_key,
            actor: actor
                .and_then(|actor| actor.key().or(actor.person()))
                .map(Masked::vouched),
            address: actor.and_then(|actor| actor.address()).map(Masked::vouched),
        })
    };
    events.iter().filter_map(of).collect()
}

/// The day of a moment, in UTC.
fn day(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(
        |_| "?".to_owned(),
        |time| time.to_zoned(TimeZone::UTC).date().to_string(),
    )
}

/// Which models the projects allow, asked once each.
#[derive(Default)]
struct Allowed(HashMap<String, Option<ModelPermissions>>);

impl Allowed {
    /// Those of `models` that the project doesn't allow; `None` if that can't be known.
    fn foreign(
        &mut self,
        admin: &Admin,
        project: Option<&str>,
        models: HashSet<String>,
    ) -> Result<Option<Vec<Masked>>, Error> {
        let Some(project) = project else {
            return Ok(None);
        };
        if models.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if !self.0.contains_key(project) {
            let permissions = admin.model_permissions(project)?;
            self.0.insert(project.to_owned(), permissions);
        }
        let Some(Some(permissions)) = self.0.get(project) else {
            return Ok(Some(Vec::new()));
        };
        let mut foreign = Vec::new();
        for model in models {
            match permissions.allows(&model) {
                Some(true) => {}
                Some(false) => foreign.push(Masked::vouched(model)),
                None => return Ok(None),
            }
        }
        foreign.sort();
        Ok(Some(foreign))
    }
}
