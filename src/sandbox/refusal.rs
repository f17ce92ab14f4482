//! Error answers, word for word where the words were captured.
//!
//! Source: `openai-api.md` of the project's references ("Is a key live?"), and bodies quoted in public
//! issues. Where no authority confirms a body, the row says so.

use serde_json::{Value, json};

/// An error of the API: a status and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
}

/// The `type` of most errors.
const INVALID: &str = "invalid_request_error";
const QUOTA: &str = "insufficient_quota";

impl Refusal {
    pub(super) fn new(
        status: u16,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            code,
            param: None,
            message: message.into(),
        }
    }

    /// What the client wrote is wrong.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, INVALID, None, message)
    }

    /// One parameter is.
    pub(super) fn bad_parameter(
        param: &str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            param: Some(param.to_owned()),
            ..Self::new(400, INVALID, Some(code), message)
        }
    }

    /// There is no such object.
    pub(super) fn missing(what: &str, id: &str) -> Self {
        Self::new(404, INVALID, None, format!("No such {what}: {id}"))
    }

    /// `known` says that the path exists, for another method.
    pub(super) fn no_endpoint(known: bool, method: &str, path: &str) -> Self {
        match known {
            true => Self::new(
                405,
                INVALID,
                None,
                format!(
                    "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
                ),
            ),
            false => Self::new(404, INVALID, None, format!("Invalid URL ({method} {path})")),
        }
    }

    pub(super) fn no_key() -> Self {
        Self::new(
            401,
            INVALID,
            None,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    }

    /// `masked` is the key as listings show it.
    pub(super) fn incorrect_key(masked: &str) -> Self {
        Self::new(
            401,
            INVALID,
            Some("invalid_api_key"),
            format!(
                "Incorrect API key provided: {masked}. You can find your API key at https://platform.openai.com/account/api-keys."
            ),
        )
    }

    pub(super) fn account_deactivated() -> Self {
        Self::new(
            401,
            INVALID,
            Some("account_deactivated"),
            "This key is associated with a deactivated account. If you feel this is an error, contact us through our help center at help.openai.com.",
        )
    }

    /// `status` is 401 or 403: both were seen.
    pub(super) fn missing_scopes(status: u16, scope: &str) -> Self {
        Self::new(
            status,
            INVALID,
            None,
            format!(
                "You have insufficient permissions for this operation. Missing scopes: {scope}. Check that you have the correct role in your organization (Reader, Writer, Owner) and project (Member, Owner), and if you're using a restricted API key, that it has the necessary scopes."
            ),
        )
    }

    pub(super) fn mismatched_organization() -> Self {
        Self::new(
            401,
            INVALID,
            Some("mismatched_organization"),
            "OpenAI-Organization header should match organization for API key",
        )
    }

    pub(super) fn mismatched_project() -> Self {
        Self::new(
            401,
            INVALID,
            Some("mismatched_project"),
            "OpenAI-Project header should match project for API key",
        )
    }

    pub(super) fn no_organization() -> Self {
        Self::new(
            401,
            INVALID,
            Some("no_organization"),
            "You must be a member of an organization to use the API. Please contact us through our help center at help.openai.com.",
        )
    }

    /// The code is not confirmed by any authority.
    pub(super) fn ip_not_authorized() -> Self {
        Self::new(
            401,
            INVALID,
            Some("ip_not_authorized"),
            "Your IP address is not on the allowlist of this organization or project.",
        )
    }

    pub(super) fn model_not_found(project: &str, model: &str) -> Self {
        Self::new(
            403,
            INVALID,
            Some("model_not_found"),
            format!("Project `{project}` does not have access to model `{model}`"),
        )
    }

    pub(super) fn unsupported_region() -> Self {
        Self::new(
            403,
            "request_forbidden",
            Some("unsupported_country_region_territory"),
            "Country, region, or territory not supported",
        )
    }

    /// No money, for one of the reasons that have a code of their own.
    pub(super) fn no_money(code: &'static str) -> Self {
        Self::new(
            429,
            QUOTA,
            Some(code),
            "You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        )
    }

    pub(super) fn rate_limited(what: &str) -> Self {
        Self::new(
            429,
            "requests",
            Some("rate_limit_exceeded"),
            format!(
                "Rate limit reached for {what} on requests per min (RPM). Please try again later."
            ),
        )
    }

    pub(super) fn slow_down() -> Self {
        Self::new(
            429,
            "requests",
            Some("slow_down"),
            "Your request rate has grown too fast. Please slow down.",
        )
    }

    /// A project that was archived serves nobody. The status is not confirmed.
    pub(super) fn archived() -> Self {
        Self::new(
            401,
            INVALID,
            Some("not_authorized_invalid_project"),
            "The project you are requesting has been archived and is no longer accessible.",
        )
    }

    pub(super) fn server(status: u16) -> Self {
        Self::new(
            status,
            "server_error",
            None,
            "The server had an error while processing your request. Sorry about that!",
        )
    }

    /// The body.
    pub(super) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}
