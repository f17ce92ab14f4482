//! What goes wrong on purpose: which requests a fault is for, how often it strikes, and what it does.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;

macro_rules! whats {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What a fault does. In scripts and over the control endpoint, the name in `snake_case`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum What {
            $($(#[doc = $doc])+ $name,)+
        }

        impl What {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// In a sentence.
            pub fn describe(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

whats! {
    /// 401 `invalid_api_key`: what a dead key gets. With `times` or `until`, a spell of false ones.
    IncorrectApiKey,
    /// 401 `account_deactivated`.
    AccountDeactivated,
    /// 401 without a code: the key lacks a scope.
    MissingScopes,
    /// 403 without a code: the key lacks a scope.
    ForbiddenScope,
    /// 401 `mismatched_organization`.
    MismatchedOrganization,
    /// 401 `mismatched_project`.
    MismatchedProject,
    /// 401 `no_organization`.
    NoOrganization,
    /// 401 `ip_not_authorized`.
    IpNotAuthorized,
    /// 403 `model_not_found`, which names the project.
    ModelNotFound,
    /// 403 `unsupported_country_region_territory`.
    UnsupportedRegion,
    /// 429 `insufficient_quota`.
    InsufficientQuota,
    /// 429 `credit_balance_exhausted`.
    CreditBalanceExhausted,
    /// 429 `organization_spend_limit_exceeded`.
    OrganizationSpendLimitExceeded,
    /// 429 `project_spend_limit_exceeded`.
    ProjectSpendLimitExceeded,
    /// 429 `organization_usage_limit_exceeded`.
    OrganizationUsageLimitExceeded,
    /// 429 `rate_limit_exceeded`.
    RateLimitExceeded,
    /// 429 `slow_down`.
    SlowDown,
    /// 500 with the API's own body.
    ServerError,
    /// 502 with a page in HTML.
    BadGateway,
    /// 503 with the API's own body.
    Unavailable,
    /// 200 with a page in HTML: a captive portal.
    CaptivePortal,
    /// 302 to another host.
    Redirect,
    /// 200 with an error inside.
    ErrorInSuccess,
    /// 200 with JSON that is something else.
    WrongShape,
    /// A listing that begins again and again: its first page, with `has_more`.
    RepeatedPage,
    /// A listing that never ends: new rows on every page.
    EndlessPages,
    /// The connection is reset before the request is looked at.
    Reset,
    /// The connection is closed without an answer, and the request has done nothing.
    HangUp,
    /// The request is carried out, and its answer never sent.
    LoseAnswer,
    /// The answer is cut in the middle of its body.
    CutBody,
    /// The answer comes only after `delay_ms` of real time.
    Slow,
    /// The request is carried out, and its answer comes after `delay_ms` of real time.
    SlowAnswer,
    /// The admin key of the request is revoked, and the request refused.
    RevokeAdminKey,
}

/// A fault, and when it strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it does.
    pub what: What,
    /// Requests it is for: `GET /v1/models`, `* /v1/organization/*`. All of the API's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Requests with this key only, by the key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many requests are let through first.
    #[serde(default)]
    pub skip: u32,
    /// How often it strikes; always if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Not before this time of the sandbox's clock, in seconds since it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Only before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// How long a slow answer takes, in real milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
}

impl Fault {
    /// A fault that strikes always, and everywhere.
    pub fn new(what: What) -> Self {
        Self {
            what,
            on: None,
            key: None,
            skip: 0,
            times: None,
            from: None,
            until: None,
            delay_ms: 0,
        }
    }

    /// For these requests only: a method or `*`, and a path that may end in `*`.
    #[must_use]
    pub fn on(mut self, requests: &str) -> Self {
        self.on = Some(requests.to_owned());
        self
    }

    /// For requests with this key only, by the key's id.
    #[must_use]
    pub fn key(mut self, id: &str) -> Self {
        self.key = Some(id.to_owned());
        self
    }

    /// That often, and no more.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// After so many requests.
    #[must_use]
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Only before this time of the sandbox's clock, in seconds since it was started.
    #[must_use]
    pub fn until(mut self, seconds: i64) -> Self {
        self.until = Some(seconds);
        self
    }

    /// How long a slow answer takes, in real milliseconds.
    #[must_use]
    pub fn delay_ms(mut self, milliseconds: u64) -> Self {
        self.delay_ms = milliseconds;
        self
    }

    /// Whether it strikes this request; counts it if it could.
    pub(super) fn strikes(&mut self, request: &Target<'_>) -> bool {
        let in_time = self.from.is_none_or(|from| from <= request.now)
            && self.until.is_none_or(|until| request.now < until);
        let meant = self.on.as_deref().is_none_or(|on| request.matches(on))
            && (self.key.is_none() || self.key.as_deref() == request.key);
        if !in_time || !meant || self.times == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

/// A request, as faults see it.
pub(super) struct Target<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The id of the key it came with, if the organisation knows it.
    pub(super) key: Option<&'a str>,
    /// Seconds since the start.
    pub(super) now: i64,
}

impl Target<'_> {
    fn matches(&self, on: &str) -> bool {
        let (method, path) = on.split_once(' ').unwrap_or(("*", on));
        let same = match path.strip_suffix('*') {
            Some(start) => self.path.starts_with(start),
            None => self.path == path,
        };
        same && (method == "*" || method.eq_ignore_ascii_case(self.method))
    }
}

/// An answer in place of the real one.
pub(super) enum Instead {
    Refusal(Refusal),
    Text(u16, &'static str),
    Json(Value),
    Redirect(&'static str),
}

const PORTAL: &str = "<!doctype html><html><head><title>Sign in to the network</title></head><body><form action=\"/login\"></form></body></html>";
const GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

impl What {
    /// What it answers instead, if it is a fault of that kind. `masked` is the key as listings show
    /// it, `project` the one it belongs to.
    pub(super) fn instead(self, masked: &str, project: &str, scope: &str) -> Option<Instead> {
        let refusal = match self {
            Self::IncorrectApiKey => Refusal::incorrect_key(masked),
            Self::AccountDeactivated => Refusal::account_deactivated(),
            Self::MissingScopes => Refusal::missing_scopes(401, scope),
            Self::ForbiddenScope => Refusal::missing_scopes(403, scope),
            Self::MismatchedOrganization => Refusal::mismatched_organization(),
            Self::MismatchedProject => Refusal::mismatched_project(),
            Self::NoOrganization => Refusal::no_organization(),
            Self::IpNotAuthorized => Refusal::ip_not_authorized(),
            Self::ModelNotFound => Refusal::model_not_found(project, "gpt-5"),
            Self::UnsupportedRegion => Refusal::unsupported_region(),
            Self::InsufficientQuota => Refusal::no_money("insufficient_quota"),
            Self::CreditBalanceExhausted => Refusal::no_money("credit_balance_exhausted"),
            Self::OrganizationSpendLimitExceeded => {
                Refusal::no_money("organization_spend_limit_exceeded")
            }
            Self::ProjectSpendLimitExceeded => Refusal::no_money("project_spend_limit_exceeded"),
            Self::OrganizationUsageLimitExceeded => {
                Refusal::no_money("organization_usage_limit_exceeded")
            }
            Self::RateLimitExceeded => Refusal::rate_limited("this endpoint"),
            Self::SlowDown => Refusal::slow_down(),
            Self::ServerError => Refusal::server(500),
            Self::Unavailable => Refusal::server(503),
            Self::BadGateway => return Some(Instead::Text(502, GATEWAY)),
            Self::CaptivePortal => return Some(Instead::Text(200, PORTAL)),
            // A port that nobody listens on: whoever follows gets no further.
            Self::Redirect => return Some(Instead::Redirect("http://127.0.0.1:1/v1/models")),
            Self::ErrorInSuccess => {
                return Some(Instead::Json(Refusal::incorrect_key(masked).body()));
            }
            Self::WrongShape => return Some(Instead::Json(json!({"object": "list", "data": {}}))),
            Self::RepeatedPage
            | Self::EndlessPages
            | Self::Reset
            | Self::HangUp
            | Self::LoseAnswer
            | Self::CutBody
            | Self::Slow
            | Self::SlowAnswer
            | Self::RevokeAdminKey => return None,
        };
        Some(Instead::Refusal(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target<'a>(method: &'a str, path: &'a str) -> Target<'a> {
        Target {
            method,
            path,
            key: Some("key_1"),
            now: 100,
        }
    }

    #[test]
    fn a_fault_strikes_what_it_is_for() {
        let get = target("GET", "/v1/models");
        let post = target("POST", "/v1/organization/projects");
        for (on, first, second) in [
            ("GET /v1/models", true, false),
            ("get /v1/models", true, false),
            ("* /v1/models", true, false),
            ("/v1/models", true, false),
            ("* /v1/*", true, true),
            ("POST *", false, true),
            ("GET /v1/model", false, false),
        ] {
            let mut fault = Fault::new(What::Reset).on(on);
            assert_eq!(
                (fault.strikes(&get), fault.strikes(&post)),
                (first, second),
                "{on}"
            );
        }
        assert!(Fault::new(What::Reset).key("key_1").strikes(&get));
        assert!(!Fault::new(What::Reset).key("key_2").strikes(&get));
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_says() {
        let mut fault = Fault::new(What::Reset).skip(2).times(3);
        let struck: Vec<bool> = (0..7).map(|_| fault.strikes(&target("GET", "/"))).collect();
        assert_eq!(struck, [false, false, true, true, true, false, false]);
        let mut fault = Fault {
            from: Some(50),
            ..Fault::new(What::Reset).until(100)
        };
        assert!(!fault.strikes(&target("GET", "/")));
        assert!(fault.strikes(&Target {
            now: 99,
            ..target("GET", "/")
        }));
        assert!(!fault.strikes(&Target {
            now: 49,
            ..target("GET", "/")
        }));
    }

    #[test]
    fn faults_are_written_in_scripts_as_they_are_named() {
        let fault: Fault = serde_json::from_value(json!({"what": "cut_body", "times": 1})).unwrap();
        assert_eq!(fault, Fault::new(What::CutBody).times(1));
        for wrong in [
            json!({"what": "cut"}),
            json!({"what": "reset", "tmes": 1}),
            json!({}),
        ] {
            assert!(
                serde_json::from_value::<Fault>(wrong.clone()).is_err(),
                "{wrong}"
            );
        }
        for what in What::ALL {
            assert!(!what.describe().is_empty());
        }
    }
}
