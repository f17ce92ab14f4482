//! What an admin key may not do, found out before hours are spent on the rest.

use std::time::Duration;

use super::why;
use crate::openai::{Admin, AuditFilter, Capability, Error, Period};
use crate::secret::Masked;

/// What the admin key lacks for a verification, each with what it will cost. One request to each of
/// the endpoints, so nothing has to wait. What fails for other reasons will fail again, and be told
/// there.
pub fn lacks(admin: &Admin) -> Vec<Masked> {
    let now = admin.service().clock().now().as_second();
    let today = Period {
        from: now - 3600,
        to: None,
        bucket: Duration::from_secs(86_400),
    };
    let nothing = AuditFilter {
        since: Some(now),
        ..AuditFilter::default()
    };
    let first = |page: Option<Result<(), Error>>| page.unwrap_or(Ok(()));
    let tries: [(Result<(), Error>, &str); 5] = [
        (
            first(admin.projects(true).next().map(|page| page.map(drop))),
            "no key can be identified",
        ),
        (
            first(admin.admin_keys().next().map(|page| page.map(drop))),
            "no listing is complete without the admin keys, so no key can be ruled out or confirmed",
        ),
        (
            first(admin.audit_log(&nothing).next().map(|page| page.map(drop))),
            "scopes and events stay unknown",
        ),
        (
            admin.usage(Capability::Completions, today, &[]).map(drop),
            "what a key did stays unknown",
        ),
        (admin.costs(today, &[]).map(drop), "costs stay unknown"),
    ];
    let said = |(tried, cost): (Result<(), Error>, &str)| {
        let error = tried.err()?;
        let lacks = error.is_key_refused()
            || error
                .refusal()
                .is_some_and(|refusal| refusal.is_missing_permission());
        let text = format!("{cost}: {}", why(&error).detail.text());
        lacks.then(|| Masked::vouched(text))
    };
    tries.into_iter().filter_map(said).collect()
}
