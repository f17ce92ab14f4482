//! Kubernetes' API server: where it is and how to get in, for stores and for rollouts. With a
//! token; client certificates and the plugins of kubeconfig files are left to `kubectl`, which can
//! make a token (`kubectl create token`) that a setting names by its command.

#[cfg(unix)]
#[cfg(test)]
pub(crate) mod real;

use serde::Deserialize;

use crate::config::{ConfigError, Credential, Section, Surroundings};
use crate::http::{Address, Client, Method, Request, Settings, roots_from_pem};
use crate::secret::Secret;

/// Where a pod finds its service account.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How to reach a cluster. Without an address: the one that we run in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    address: Option<String>,
    ca: Option<String>,
    token: Option<Credential>,
    namespace: Option<String>,
}

/// The names that [`Cluster::open`] reads in a section.
pub const NAMES: &[&str] = &["address", "ca", "token", "namespace"];

/// A namespace of a cluster.
pub struct Cluster {
    /// Talks to it.
    pub client: Client,
    /// Where it is.
    pub address: Address,
    /// Ours.
    pub namespace: String,
    token: Secret,
}

impl Cluster {
    /// Reads the section's [`NAMES`].
    ///
    /// # Errors
    /// A setting is wrong, or missing outside of a cluster.
    pub fn open(
        section: &Section,
        around: &Surroundings<'_>,
        http: &Settings,
    ) -> Result<Self, ConfigError> {
        let given: Given = section.pick(NAMES)?;
        let inside = given.address.is_none();
        let address = match &given.address {
            Some(address) => address.clone(),
            None => here(around).ok_or_else(|| {
                section.invalid(
                    "`address` is missing, and this is no pod: KUBERNETES_SERVICE_HOST is not set",
                )
            })?,
        };
        let address = Address::parse(&address)
            .map_err(|error| section.invalid(format!("`address`: {error}")))?;
        let mounted = |name: &str| format!("{MOUNTED}/{name}");
        let mut http = http.clone();
        if let Some(path) = given.ca.or_else(|| inside.then(|| mounted("ca.crt"))) {
            let wrong = |why: String| section.invalid(format!("`ca`: {path}: {why}"));
            let pem = std::fs::read(section.resolve(&path)).map_err(|e| wrong(e.to_string()))?;
            http.roots.extend(roots_from_pem(&pem).map_err(wrong)?);
        }
        let client = Client::new(http).map_err(|error| section.invalid(error.to_string()))?;
        let token = given
            .token
            .or_else(|| inside.then(|| Credential::File(mounted("token").into())));
        let token = token.ok_or_else(|| section.invalid("`token` is missing"))?;
        let token = token
            .get(section, around)
            .map_err(|error| section.invalid(format!("`token`: {error}")))?;
        let namespace = match given.namespace {
            Some(namespace) => namespace,
            None if inside => std::fs::read_to_string(mounted("namespace"))
                .map(|text| text.trim().to_owned())
                .map_err(|error| section.invalid(format!("`namespace`: {error}")))?,
            None => return Err(section.invalid("`namespace` is missing")),
        };
        Ok(Self {
            client,
            address,
            namespace,
            token,
        })
    }

    /// A request to `path` below the API, with our token.
    pub fn request(&self, method: Method, path: &[&str]) -> Request {
        self.dress(Request::new(method, self.at(path)))
    }

    /// An address below the API; each part may have several segments.
    pub fn at(&self, path: &[&str]) -> Address {
        let segments = path.iter().flat_map(|part| part.split('/'));
        self.address.join(segments)
    }

    /// A request with our token.
    pub fn dress(&self, request: Request) -> Request {
        let request = request.secret_header("authorization", "Bearer", &self.token);
        request.header("accept", "application/json")
    }
}

/// The address of the cluster that we run in.
fn here(around: &Surroundings<'_>) -> Option<String> {
    let text = |name: &str| String::from_utf8((around.variable)(name)?.expose().to_vec()).ok();
    let host = text("KUBERNETES_SERVICE_HOST")?;
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host,
    };
    let port = text("KUBERNETES_SERVICE_PORT").unwrap_or("443".to_owned());
    Some(format!("https://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_its_cluster() {
        let found = |host: &str| {
            let host = host.to_owned();
            let variable = move |name: &str| {
                (name == "KUBERNETES_SERVICE_HOST").then(|| Secret::new(host.clone().into()))
            };
            here(&Surroundings {
                variable: &variable,
            })
        };
        assert_eq!(found("10.0.0.1").as_deref(), Some("https://10.0.0.1:443"));
        assert_eq!(found("fd00::1").as_deref(), Some("https://[fd00::1]:443"));
    }
}
