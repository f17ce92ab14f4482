//! Where a request goes: checked once, when it is made.

use std::fmt;

use reqwest::Url;
use url::Host;

use super::BadAddress;

/// An address that may be talked to: https or loopback, or a
/// [machine's own service](Address::of_machine). It holds no user, no password, no fragment, and shows
/// itself without its query.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(Url);

impl Address {
    /// Reads an address such as `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// It is none, or one that must not be talked to.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        Self::checked(text, is_loopback)
    }

    /// The same, of a service that tells a machine its own credentials, as clouds have them: it may be
    /// link-local, too, in plain http, which is never routed (RFC 3927, 2.6.2).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of_machine(text: &str) -> Result<Self, BadAddress> {
        Self::checked(text, |url| is_loopback(url) || is_link_local(url))
    }

    fn checked(text: &str, may_be_plain: fn(&Url) -> bool) -> Result<Self, BadAddress> {
        let url = Url::parse(text).map_err(|_| BadAddress::NotAnAddress)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadAddress::HoldsSecret);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadAddress::MoreThanAPath);
        }
        match (url.scheme(), may_be_plain(&url)) {
            ("https", _) | ("http", true) => Ok(Self(url)),
            ("http", false) => Err(BadAddress::NotEncrypted),
            _ => Err(BadAddress::NotAnAddress),
        }
    }

    /// The address below this one. Each part is one segment, whatever is in it.
    #[must_use]
    pub fn join<'p>(&self, parts: impl IntoIterator<Item = &'p str>) -> Self {
        let mut url = self.0.clone();
        // Segments of one or two dots would be resolved, even if encoded.
        let tame = |part: &'p str| {
            if part.chars().all(|c| c == '.') {
                "_"
            } else {
                part
            }
        };
        url.path_segments_mut()
            .expect("http and https addresses have segments")
            .pop_if_empty()
            .extend(parts.into_iter().map(tame));
        Self(url)
    }

    /// The same with a slash at its end, by which some servers know a listing.
    #[must_use]
    pub fn directory(&self) -> Self {
        let mut url = self.0.clone();
        url.path_segments_mut()
            .expect("http and https addresses have segments")
            .pop_if_empty()
            .push("");
        Self(url)
    }

    /// The address with one more parameter. Never a secret: servers and proxies log queries.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.0.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Host and port, for people.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Its path, as it is sent.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }

    pub(super) fn url(&self) -> Url {
        self.0.clone()
    }
}

fn is_link_local(url: &Url) -> bool {
    matches!(url.host(), Some(Host::Ipv4(address)) if address.is_link_local())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // The client never looks this name up.
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.host(), self.0.path())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_loopback_may_be_talked_to() {
        for good in [
            "https://api.openai.com/v1",
            "http://127.0.0.1:8080",
            "http://127.8.9.1/x",
            "http://[::1]:1/v1",
            "http://localhost:4010/v1",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
            assert!(Address::of_machine(good).is_ok(), "{good}");
        }
        let own = "http://169.254.169.254/latest";
        assert!(Address::of_machine(own).is_ok());
        assert_eq!(Address::parse(own).unwrap_err(), BadAddress::NotEncrypted);
        for (bad, why) in [
            ("http://api.openai.com/v1", BadAddress::NotEncrypted),
            ("http://localhost.evil.example", BadAddress::NotEncrypted),
            ("http://127.0.0.1.evil.example", BadAddress::NotEncrypted),
            ("http://10.0.0.1/v1", BadAddress::NotEncrypted),
            ("http://169.254.evil.example", BadAddress::NotEncrypted),
            ("http://[fe80::1]/v1", BadAddress::NotEncrypted),
            ("https://user:pass@api.openai.com", BadAddress::HoldsSecret),
            ("http://localhost@evil.example", BadAddress::HoldsSecret),
            ("https://api.openai.com/v1?key=x", BadAddress::MoreThanAPath),
            ("file:///etc/passwd", BadAddress::NotAnAddress),
            ("api.openai.com", BadAddress::NotAnAddress),
        ] {
            assert_eq!(Address::parse(bad).unwrap_err(), why, "{bad}");
            assert_eq!(Address::of_machine(bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn foreign_ids_stay_one_segment() {
        let base = Address::parse("https://api.openai.com/v1/").unwrap();
        let at = base.join(["organization", "projects", "a/../b?c#d", "..", "api_keys"]);
        assert_eq!(
            at.to_string(),
            "https://api.openai.com/v1/organization/projects/a%2F..%2Fb%3Fc%23d/_/api_keys"
        );
        assert!(at.directory().to_string().ends_with("/api_keys/"));
        assert_eq!(at.directory().directory(), at.directory());
        let asked = at.query("after", "x&y=z");
        assert!(asked.url().as_str().ends_with("?after=x%26y%3Dz"));
        assert!(!asked.to_string().contains("after"));
    }
}
