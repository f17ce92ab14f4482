//! The least rights that a rotation needs in Vault, and whether our token has them.

use serde_json::{Map, Value, json};

use super::Vault;
use crate::http::Method;
use crate::store::StoreError;
use crate::store::rest;
use crate::store::slots::About;
use crate::store::types::{Capabilities, CheckAndSet, GivesBack};

/// What the store says of itself.
pub(super) fn about(host: &str, mount: &str, path: &str, field: &str, staging: &str) -> About {
    let rule = |kind: &str, path: &str, can: &str| {
        format!("path \"{mount}/{kind}/{path}\" {{ capabilities = [{can}] }}")
    };
    About {
        place: format!("vault {host}, {mount}/{path}, {field}"),
        can: Capabilities {
            two_versions: true,
            reads_back: true,
            gives_back: GivesBack::Itself,
            check_and_set: CheckAndSet::Atomic,
            locks: true,
        },
        rights: vec![
            rule("data", path, "\"read\", \"update\""),
            rule("metadata", path, "\"read\", \"patch\""),
            rule(
                "data",
                &format!("{staging}/*"),
                "\"create\", \"read\", \"update\"",
            ),
            rule("metadata", &format!("{staging}/*"), "\"delete\""),
        ],
    }
}

impl Vault {
    /// Asks the server what our token may do, which every token may by the default policy.
    pub(super) fn look_at_rights(&self) -> Result<Vec<String>, StoreError> {
        let doing = "ask for our rights";
        let (mount, path, staging) = (&self.mount, &self.path, &self.staging);
        let needed: [(String, &[&str]); 4] = [
            (format!("{mount}/data/{path}"), &["read", "update"]),
            (format!("{mount}/metadata/{path}"), &["read", "patch"]),
            (
                format!("{mount}/data/{staging}/next"),
                &["create", "read", "update"],
            ),
            (format!("{mount}/metadata/{staging}/next"), &["delete"]),
        ];
        let paths: Vec<&String> = needed.iter().map(|(path, _)| path).collect();
        let (kind, body) = rest::json(&json!({ "paths": paths }));
        let answer = self.send(doing, || {
            let request = self.rest.request(Method::Post, &["sys/capabilities-self"]);
            request.body(kind, body.clone())
        })?;
        if answer.status == 403 {
            return Ok(vec![
                "our rights can't be asked for: they are found out on the way".to_owned(),
            ]);
        }
        let told: Map<String, Value> = self.rest.parse(doing, &answer)?;
        let lacking = |path: &str, right: &str| {
            let rights = told.get(path).and_then(Value::as_array);
            let has = |wanted: &str| rights.is_some_and(|r| r.iter().any(|r| r == wanted));
            !has(right) && !has("root")
        };
        for (path, rights) in &needed {
            if let Some(right) = rights.iter().find(|right| lacking(path, right)) {
                return Err(StoreError::Denied {
                    place: self.about.place.clone(),
                    doing: format!("{right} {path}"),
                    reason: "the token's policies don't say that it may".to_owned(),
                    rights: self.about.rights.join("; "),
                });
            }
        }
        Ok(Vec::new())
    }
}
