//! A lock in Key Vault, which compares nothing: each who wants it writes a version, and then looks
//! at all of them. Whoever sees another's lease gives up, so that of two at once at most one gets
//! it: both write before they look. A lease that has ended is one of which [`Slots`] said so to the
//! one who replaces it, and each disables versions by their ids, so that nobody's is taken away.
//!
//! [`Slots`]: crate::store::slots::Slots

use serde::Deserialize;
use serde_json::json;

use super::{Azure, LEASE, Properties};
use crate::http::Method;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::slots::{Expect, conflict};
use crate::store::types::{Held, Lease, Slot, Version};

/// The most pages of versions that are read, of 25 each.
const MOST_PAGES: usize = 400;

/// A version that is enabled and holds a lease.
struct Claim {
    id: String,
    lease: Lease,
}

impl Claim {
    fn version(&self) -> Version {
        Version::new(format!("{}@{}", self.id, self.lease.until))
    }
}

fn id_of(version: &Version) -> &str {
    version.as_str().split('@').next().unwrap_or_default()
}

impl Azure {
    /// All that claim the lock; normally none or one.
    fn claims(&self) -> Result<Vec<Claim>, StoreError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            value: Vec<Properties>,
            #[serde(default)]
            next_link: Option<String>,
        }
        let doing = "list the lock's versions";
        let name = self.name(Slot::Lock);
        let mut query = vec![("maxresults".to_owned(), "25".to_owned())];
        let mut claims = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut address = self.address(&["secrets", &name, "versions"]);
            for (name, value) in &query {
                address = address.query(name, value);
            }
            let answer = self.send(doing, Method::Get, &address, None)?;
            if answer.status == 404 {
                return Ok(Vec::new());
            }
            let page: Page = self.rest.parse(doing, &answer)?;
            for version in page.value.into_iter().filter(|v| v.attributes.enabled) {
                let text = version.tag(LEASE).unwrap_or_default();
                let lease = serde_json::from_str(text).map_err(|_| {
                    self.rest.unusable(
                        "what stands where the lock should be is none of ours; disable it by hand",
                    )
                })?;
                claims.push(Claim {
                    id: version.id(),
                    lease,
                });
            }
            let Some(link) = page.next_link.filter(|link| !link.is_empty()) else {
                return Ok(claims);
            };
            // Only its parameters: our token goes nowhere but to our vault.
            let parameters = link.split_once('?').map_or("", |(_, query)| query);
            let parsed = url::form_urlencoded::parse(parameters.as_bytes());
            query = parsed
                .filter(|(name, _)| name != "api-version")
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
        }
        Err(self
            .rest
            .unusable("the lock has too many versions; delete and purge its secret"))
    }

    pub(super) fn lease(&self) -> Result<Option<Held>, StoreError> {
        let claims = self.claims()?;
        let last = claims.into_iter().max_by_key(|claim| claim.lease.until);
        Ok(last.map(|claim| Held {
            version: claim.version(),
            value: Some(Secret::new(
                serde_json::to_vec(&claim.lease).expect("two texts"),
            )),
            note: None,
        }))
    }

    pub(super) fn put_lock(
        &self,
        text: &Secret,
        expect: Expect<'_>,
    ) -> Result<Version, StoreError> {
        let lease: Lease = serde_json::from_slice(text.expose())
            .map_err(|_| self.rest.unusable("the lease can't be read"))?;
        let before = self.claims()?;
        let expected = match expect {
            Expect::Absent => None,
            Expect::Version(version) => {
                let there = before.iter().find(|claim| claim.version() == *version);
                Some(there.ok_or_else(|| self.lost(expect, before.first()))?)
            }
        };
        let text = String::from_utf8_lossy(text.expose());
        let tags = json!({ LEASE: text });
        // Our own lease is extended in place.
        let own = expected.filter(|claim| claim.lease.holder == lease.holder);
        let id = match own {
            Some(own) => self.update(Slot::Lock, &own.id, &json!({ "tags": tags }))?,
            None => self.write(Slot::Lock, &json!({ "value": "none", "tags": tags }))?,
        };
        let after = self.claims()?;
        // What ends no later than what was replaced has ended, too.
        let ended =
            |claim: &Claim| expected.is_some_and(|old| claim.lease.until <= old.lease.until);
        let (stale, others): (Vec<&Claim>, Vec<&Claim>) = after
            .iter()
            .filter(|claim| claim.id != id)
            .partition(|claim| ended(claim) || claim.lease.holder == lease.holder);
        let is_there = after.iter().any(|claim| claim.id == id);
        if !others.is_empty() || !is_there {
            if own.is_none() {
                self.disable(Slot::Lock, &id)?;
            }
            return Err(self.lost(expect, others.first().copied()));
        }
        for claim in stale {
            self.disable(Slot::Lock, &claim.id)?;
        }
        Ok(Claim { id, lease }.version())
    }

    fn lost(&self, expect: Expect<'_>, there: Option<&Claim>) -> StoreError {
        conflict(self, Slot::Lock, expect, there.map(Claim::version).as_ref())
    }

    pub(super) fn unlock(&self, held: &Held) -> Result<(), StoreError> {
        self.disable(Slot::Lock, id_of(&held.version))
    }
}
