//! What it takes to ask a server: the real clock, the HTTP client with the user's proxy and roots,
//! keys from where they are kept. Made when something is to be asked, never before: a scan opens no
//! socket and loads no certificate.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::error::Hint;
use crate::clock::{Clock, Stopped};
use crate::config::{Credential, Network, OpenAi, Surroundings};
use crate::http::{self, Address, Client, Root, roots_from_pem};
use crate::openai::{self, Progress, Service};
use crate::secret::Secret;

/// The variable that holds an admin key, if no profile says otherwise.
pub(super) const ADMIN_KEY: &str = "OPENAI_ADMIN_KEY";

/// The system's time. Waiting ends soon after the run is to stop.
pub(super) struct System {
    start: Instant,
    stop: Arc<AtomicBool>,
}

impl System {
    pub(super) fn new(stop: &Arc<AtomicBool>) -> Self {
        Self {
            start: Instant::now(),
            stop: Arc::clone(stop),
        }
    }
}

impl Clock for System {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        const STEP: Duration = Duration::from_millis(100);
        let until = Instant::now() + time;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(STEP));
        }
    }
}

/// A variable that is set and not empty.
fn variable(names: &[&str]) -> Option<String> {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    names.iter().find_map(set)
}

/// How servers are reached. `local`: nothing but this machine will be asked, so no certificate is
/// needed.
pub(super) fn reached(network: &Network, local: bool) -> anyhow::Result<http::Settings> {
    let named = network.proxy.clone();
    let proxy =
        named.or_else(|| variable(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]));
    let excepted = network.no_proxy.clone();
    let excepted = excepted.or_else(|| variable(&["NO_PROXY", "no_proxy"]));
    Ok(http::Settings {
        connect: Duration::from_secs(network.connect_seconds),
        exchange: Duration::from_secs(network.answer_seconds),
        proxy: proxy.map(|proxy| Secret::new(proxy.into_bytes())),
        no_proxy: excepted.unwrap_or_default(),
        roots: match local {
            true => Vec::new(),
            false => roots(network.ca_file.as_deref())?,
        },
        ..http::Settings::default()
    })
}

/// Whom the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` have a say), and who was named.
fn roots(named: Option<&Path>) -> anyhow::Result<Vec<Root>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = found.certs;
    if let Some(path) = named {
        let pem = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        let more = roots_from_pem(&pem).map_err(anyhow::Error::msg);
        roots.extend(more.with_context(|| format!("can't use {}", path.display()))?);
    }
    if roots.is_empty() {
        let problem = match found.errors.first() {
            Some(error) => format!("this system's root certificates can't be read: {error}"),
            None => "this system has no root certificates".to_owned(),
        };
        return Err(anyhow::Error::msg(problem))
            .hint("install ca-certificates, or name a PEM file: `ca-file` in [network]");
    }
    Ok(roots)
}

/// OpenAI, as the configuration has it.
pub(super) fn service(
    network: &Network,
    openai: &OpenAi,
    redact: openai::Redact,
    progress: Arc<dyn Progress>,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Service> {
    let base = openai.api.as_deref().unwrap_or(openai::BASE);
    let base = Address::parse(base).context("can't use `api` in [openai]")?;
    let mut settings = openai::Settings::new(base);
    settings.per_minute = openai.requests_per_minute;
    settings.probes_per_minute = openai.probes_per_minute;
    settings.seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let client = Client::new(reached(network, settings.base.is_loopback())?)?;
    let clock = Arc::new(System::new(stop));
    Ok(Service::new(client, settings, clock, redact, progress))
}

/// A variable of the environment, as a secret.
pub(super) fn secret_variable(name: &str) -> Option<Secret> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(Secret::new(value.into_encoded_bytes()))
}

/// Gets a key from where it is kept. What is not there is an error that names the place, never the
/// content. A program that prints it may ask its user for something, if there is one.
pub(super) fn key(source: &Credential) -> anyhow::Result<Secret> {
    let around = Surroundings {
        variable: &secret_variable,
    };
    // Their paths were resolved when the file was read.
    let key = source
        .fetch(Path::new(""), &around, std::io::stdin().is_terminal())
        .hint("where a key comes from is said by `env`, `file`, `command` or `keyring`")?;
    if key.expose().iter().any(|b| !b.is_ascii_graphic()) {
        bail!("what should be a key is none: a key is one word of printable characters");
    }
    Ok(key)
}

/// Where listings are kept.
pub(super) fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let home = || absolute("HOME").map(|home| home.join(".cache"));
    let base = absolute("XDG_CACHE_HOME").or_else(home);
    let base = base.or_else(|| absolute("LOCALAPPDATA"))?;
    Some(base.join("skewer"))
}
