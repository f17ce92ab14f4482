//! Docker's Engine API on a manager of a Swarm: where it is and how to get in, for stores and for
//! rollouts. By its socket on this machine, or with TLS, where the Engine asks for a certificate.
//!
//! Facts: Docker's Engine API reference 1.41 (unversioned paths are the daemon's newest), and a
//! real dockerd.

#[cfg(unix)]
#[cfg(test)]
pub(crate) mod imitation;
#[cfg(target_os = "linux")]
#[cfg(test)]
pub(crate) mod real;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::config::{ConfigError, Credential, Section, Surroundings};
use crate::http::{Address, Client, Identity, Settings, roots_from_pem};

/// Where the Engine listens if nobody says otherwise.
const USUAL: &str = "unix:///var/run/docker.sock";

/// How to reach the Engine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Given {
    /// `unix://PATH`, or `https://HOST:2376`.
    address: Option<String>,
    ca: Option<String>,
    certificate: Option<String>,
    private_key: Option<Credential>,
}

/// The names that [`Engine::open`] reads in a section.
pub const NAMES: &[&str] = &["address", "ca", "certificate", "private-key"];

/// A way to the Engine.
pub struct Engine {
    /// Talks to it.
    pub client: Client,
    /// What paths are put behind.
    pub address: Address,
    /// Where it is, for people.
    pub host: String,
}

impl Engine {
    /// Reads the section's [`NAMES`]. Nothing is asked yet.
    ///
    /// # Errors
    /// A setting is wrong, or a credential can't be had.
    pub fn open(
        section: &Section,
        around: &Surroundings<'_>,
        http: &Settings,
    ) -> Result<Self, ConfigError> {
        let given: Given = section.pick(NAMES)?;
        let wrong = |name: &str, why: String| section.invalid(format!("`{name}`: {why}"));
        let mut http = http.clone();
        let address = given.address.as_deref().unwrap_or(USUAL);
        let (address, host) = match address.strip_prefix("unix://") {
            Some(path) => {
                http.socket = Some(PathBuf::from(path));
                ("http://localhost", path.to_owned())
            }
            None => (address, String::new()),
        };
        let address = Address::parse(address).map_err(|error| {
            wrong(
                "address",
                format!("{error}, or unix:///var/run/docker.sock"),
            )
        })?;
        let pem = |name: &str, path: &str| {
            let pem = std::fs::read(section.resolve(path)).map_err(|error| error.to_string());
            let certificates = pem.and_then(|pem| roots_from_pem(&pem));
            certificates.map_err(|why| wrong(name, format!("{path}: {why}")))
        };
        if let Some(path) = &given.ca {
            http.roots.extend(pem("ca", path)?);
        }
        http.identity = match (&given.certificate, &given.private_key) {
            (Some(path), Some(key)) => Some(Identity {
                certificates: pem("certificate", path)?,
                key: key
                    .get(section, around)
                    .map_err(|error| wrong("private-key", error.to_string()))?,
            }),
            (None, None) => None,
            _ => return Err(section.invalid("`certificate` and `private-key` go together")),
        };
        Ok(Self {
            client: Client::new(http).map_err(|error| section.invalid(error.to_string()))?,
            host: match host.is_empty() {
                true => address.host(),
                false => host,
            },
            address,
        })
    }
}

/// The ids of the secrets that a template of tasks mounts.
pub(crate) fn mounts(template: &Value) -> impl Iterator<Item = &str> {
    let secrets = template["ContainerSpec"]["Secrets"].as_array();
    let ids = secrets.into_iter().flatten();
    ids.filter_map(|one| one["SecretID"].as_str())
}
