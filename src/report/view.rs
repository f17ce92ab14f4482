//! Findings and coverage as the JSON forms show them; `schema/*.json` describes the fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::checks::ChecksView;
use super::wire::{self, Uri};
use super::{Entry, Run};
use crate::coverage::{Coverage, Failure, Tally};
use crate::finding::{
    Confidence, Context, Counted, Finding, InHistory, Location, Member, Place, Rewrite, Severity,
    ShownPath, Status, Suppression,
};
use crate::secret::{Fingerprint, Masked};

#[derive(Serialize)]
pub(super) struct FindingView<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppression: Option<SuppressionView<'a>>,
    severity: Severity,
    confidence: Confidence,
    rule: &'a str,
    title: &'a str,
    kind: &'a str,
    key: Masked,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Cow<'a, str>>,
    fingerprint: Fingerprint,
    location: LocationView<'a>,
    decoders: &'a [&'static str],
    context: ContextView,
    remedy: &'a str,
}

impl<'a> FindingView<'a> {
    pub(super) fn new(finding: &'a Finding, reveal: bool) -> Self {
        let (before, matched, after) = parts(&finding.context);
        Self {
            status: status_word(&finding.status),
            suppression: match &finding.status {
                Status::Suppressed(why) => Some(SuppressionView {
                    by: suppressed_by(why),
                    text: suppression_text(why),
                }),
                Status::Counts | Status::Before => None,
            },
            severity: finding.rule.severity,
            confidence: finding.confidence,
            rule: &finding.rule.id,
            title: &finding.rule.title,
            kind: &finding.rule.kind,
            key: finding.secret.mask(),
            secret: reveal.then(|| String::from_utf8_lossy(finding.secret.expose())),
            fingerprint: finding.fingerprint,
            location: LocationView::new(&finding.location),
            decoders: &finding.decoders,
            context: ContextView {
                before,
                matched,
                after,
            },
            remedy: &finding.rule.remedy,
        }
    }
}

#[derive(Serialize)]
struct SuppressionView<'a> {
    by: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct ContextView {
    before: Masked,
    #[serde(rename = "match")]
    matched: Masked,
    after: Masked,
}

#[derive(Serialize)]
struct LocationView<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: Masked,
    /// The way in, if the key is in a member of a container.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    members: Vec<MemberView<'a>>,
    /// Where `name` had to leave bytes out: the path, percent-encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    offset: u64,
    length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<HistoryView<'a>>,
}

#[derive(Serialize)]
struct MemberView<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Masked::is_empty")]
    name: &'a Masked,
}

impl<'a> MemberView<'a> {
    fn new(member: &'a Member) -> Self {
        Self {
            kind: member.kind,
            name: &member.name,
        }
    }
}

/// What history says of the key at this place.
#[derive(Serialize)]
struct HistoryView<'a> {
    first: Option<CommitView<'a>>,
    commits: u64,
    /// The first of them.
    commits_named: &'a [String],
    objects: u64,
    paths: Vec<&'a Masked>,
    kept_by: Vec<&'static str>,
    held_by: &'a Counted<Masked>,
    reached_from: &'a Counted<Masked>,
    rewrite: Rewrite,
}

#[derive(Serialize)]
struct CommitView<'a> {
    commit: &'a str,
    author: &'a Masked,
    /// Seconds since 1970.
    time: i64,
    summary: &'a Masked,
}

impl<'a> HistoryView<'a> {
    fn new(object: &'a InHistory) -> Self {
        Self {
            first: object.first.as_ref().map(|first| CommitView {
                commit: &first.id,
                author: &first.author,
                time: first.time,
                summary: &first.summary,
            }),
            commits: object.commits.count,
            commits_named: &object.commits.named,
            objects: object.objects,
            paths: object.paths.iter().map(ShownPath::shown).collect(),
            kept_by: object.kept.iter().map(|kept| kept.as_str()).collect(),
            held_by: &object.held_by,
            reached_from: &object.reached_from,
            rewrite: object.rewrite,
        }
    }
}

impl<'a> LocationView<'a> {
    fn new(location: &'a Location) -> Self {
        let name = location.place.masked();
        let inside = location.has_lines();
        Self {
            kind: place_word(&location.place),
            uri: std::str::from_utf8(name.as_bytes()).is_err().then(|| {
                match wire::uri(name.as_bytes()) {
                    Uri::Relative(text) | Uri::Absolute(text) => text,
                }
            }),
            name,
            members: location.members.iter().map(MemberView::new).collect(),
            blob: match &location.place {
                Place::Staged { blob, .. } => Some(blob),
                Place::Object(object) => Some(&object.object),
                _ => None,
            },
            line: inside.then_some(location.line),
            column: inside.then_some(location.column),
            offset: location.offset,
            length: location.length,
            history: match &location.place {
                Place::Object(object) => Some(HistoryView::new(object)),
                _ => None,
            },
        }
    }
}

/// Stable word for the kind of place.
fn place_word(place: &Place) -> &'static str {
    match place {
        Place::File(_) => "file",
        Place::FileName(_) => "file_name",
        Place::Stream(_) => "stream",
        Place::Staged { .. } => "staged",
        Place::Object(_) => "object",
    }
}

/// Stable word for a status.
pub(super) fn status_word(status: &Status) -> &'static str {
    match status {
        Status::Counts => "counts",
        Status::Before => "before",
        Status::Suppressed(_) => "suppressed",
    }
}

/// Stable word for what suppressed a finding.
pub(super) fn suppressed_by(why: &Suppression) -> &'static str {
    match why {
        Suppression::Marker { .. } => "marker",
        Suppression::Baseline { .. } => "baseline",
    }
}

/// The marker, or the reason.
pub(super) fn suppression_text(why: &Suppression) -> &str {
    match why {
        Suppression::Marker { marker } => marker,
        Suppression::Baseline { reason } => reason,
    }
}

/// The masked line: before the key, the key, behind it.
pub(super) fn parts(context: &Context) -> (Masked, Masked, Masked) {
    let line = context.line.as_bytes();
    let end = context.key.end.min(line.len());
    let start = context.key.start.min(end);
    (
        Masked::vouched(&line[..start]),
        Masked::vouched(&line[start..end]),
        Masked::vouched(&line[end..]),
    )
}

/// Findings, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// The keys that count, with their severity.
    pub(super) keys: BTreeMap<Fingerprint, Severity>,
    /// The places of the keys that count.
    pub(super) places: u64,
    pub(super) before: u64,
    pub(super) by_marker: u64,
    pub(super) by_baseline: u64,
}

impl Totals {
    pub(super) fn of(findings: &[Finding]) -> Self {
        let mut totals = Self::default();
        findings.iter().for_each(|finding| totals.add(finding));
        totals
    }

    pub(super) fn add(&mut self, finding: &Finding) {
        match &finding.status {
            Status::Counts => {
                self.places += 1;
                let known = self
                    .keys
                    .entry(finding.fingerprint)
                    .or_insert(finding.rule.severity);
                *known = finding.rule.severity.max(*known);
            }
            Status::Before => self.before += 1,
            Status::Suppressed(Suppression::Marker { .. }) => self.by_marker += 1,
            Status::Suppressed(Suppression::Baseline { .. }) => self.by_baseline += 1,
        }
    }
}

/// What both JSON forms say of the whole run.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    tool: Tool<'a>,
    target: &'a Masked,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    started: String,
    complete: bool,
    exit_code: u8,
    keys: usize,
    places: u64,
    before: u64,
    suppressed: SuppressedView<'a>,
    coverage: CoverageView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<ChecksView<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
struct SuppressedView<'a> {
    marker: u64,
    baseline: u64,
    unused: &'a [Entry],
    expired: &'a [Entry],
}

impl<'a> Summary<'a> {
    pub(super) fn new(run: &Run<'a>, totals: &Totals) -> Self {
        Self {
            tool: Tool {
                name: "skewer",
                version: run.version,
            },
            target: run.target,
            commit: run.commit,
            started: run.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            complete: run.coverage.is_complete(),
            exit_code: run.exit_code,
            keys: totals.keys.len(),
            places: totals.places,
            before: totals.before,
            suppressed: SuppressedView {
                marker: totals.by_marker,
                baseline: totals.by_baseline,
                unused: &run.suppressions.unused,
                expired: &run.suppressions.expired,
            },
            coverage: CoverageView::new(run),
            verification: run.checks.map(ChecksView::new),
        }
    }
}

#[derive(Serialize)]
pub(super) struct CoverageView<'a> {
    read: TallyView,
    #[serde(skip_serializing_if = "Option::is_none")]
    remembered: Option<TallyView>,
    members: TallyView,
    unread: &'a BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "<[Masked]>::is_empty")]
    limited_to: &'a [Masked],
    excluded: BTreeMap<&'static str, TallyView>,
    absent: &'a BTreeMap<&'static str, u64>,
    failed: u64,
    failures: Vec<FailureView<'a>>,
    accepted: Vec<FailureView<'a>>,
    interrupted: bool,
    seconds: f64,
}

#[derive(Serialize)]
struct TallyView {
    items: u64,
    bytes: u64,
}

impl From<Tally> for TallyView {
    fn from(Tally { items, bytes }: Tally) -> Self {
        Self { items, bytes }
    }
}

#[derive(Serialize)]
struct FailureView<'a> {
    what: &'a Masked,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl<'a> From<&'a Failure> for FailureView<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            what: &failure.what,
            why: &failure.why,
            reason: failure.reason,
        }
    }
}

impl<'a> CoverageView<'a> {
    pub(super) fn new(run: &Run<'a>) -> Self {
        let coverage: &'a Coverage = run.coverage;
        let excluded = |(why, tally): (&crate::coverage::Excluded, &Tally)| {
            (why.as_str(), TallyView::from(*tally))
        };
        Self {
            read: coverage.read.into(),
            remembered: (coverage.remembered.items > 0).then(|| coverage.remembered.into()),
            members: coverage.members.into(),
            unread: &coverage.unread,
            limited_to: &coverage.limited_to,
            excluded: coverage.excluded.iter().map(excluded).collect(),
            absent: &coverage.absent,
            failed: coverage.failed,
            failures: coverage.failures.iter().map(Into::into).collect(),
            accepted: coverage.accepted.iter().map(Into::into).collect(),
            interrupted: coverage.interrupted,
            seconds: (run.elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        }
    }
}
