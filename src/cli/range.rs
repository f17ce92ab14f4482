//! The flags that limit a search of history, and what they mean.

use anyhow::Context as _;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::error::Hint;
use crate::history::{Chosen, Way};
use crate::repo::{ObjectId, Range, RepoError, Repository};

/// To be flattened into commands that search history.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Range (what the chosen commits bring, and nothing else)")]
pub(super) struct RangeFlags {
    /// Only commits of DATE or later (2026-01-31, 2026-01-31T10:00:00Z, "2 weeks ago"; in UTC), or
    /// only what COMMIT does not have yet.
    #[arg(long, value_name = "DATE|COMMIT", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only commits that git means by this: A..B, ^A, A...B, B. May be repeated.
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Vec<String>,
    /// Only commits of this branch (else remote branch). May be repeated.
    #[arg(long, value_name = "NAME")]
    branch: Vec<String>,
    /// Only what branches, tags, other refs or HEAD lead to: not what only reflogs do, or nothing.
    #[arg(long)]
    reachable_only: bool,
    /// Only the latest N commits of those.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_commits: Option<u64>,
}

const DATES: &str =
    "a date is 2026-01-31, 2026-01-31T10:00:00Z or \"2 weeks ago\", in UTC; else name a commit";

impl RangeFlags {
    /// Whether the search is limited at all.
    pub(super) fn limits(&self) -> bool {
        self.since.is_some()
            || !self.range.is_empty()
            || !self.branch.is_empty()
            || self.reachable_only
            || self.max_commits.is_some()
    }

    /// The flags as they would be typed.
    fn words(&self) -> String {
        let mut words = Vec::new();
        words.extend(self.since.iter().map(|text| format!("--since {text}")));
        words.extend(self.range.iter().map(|text| format!("--range {text}")));
        words.extend(self.branch.iter().map(|text| format!("--branch {text}")));
        words.extend(self.reachable_only.then(|| "--reachable-only".to_owned()));
        words.extend(self.max_commits.map(|n| format!("--max-commits {n}")));
        words.join(" ")
    }

    /// The commits that are meant in a repository; `None` if the search is not limited.
    ///
    /// # Errors
    /// A date that is none, a name that stands for no commit: a mistake must not look like a
    /// search that found nothing.
    pub(super) fn chosen(
        &self,
        repository: &Repository,
        now: Timestamp,
    ) -> anyhow::Result<Option<Chosen>> {
        if !self.limits() {
            return Ok(None);
        }
        let mut range = Range {
            revisions: self.range.clone(),
            branches: self.branch.clone(),
            since: None,
            reachable_only: self.reachable_only,
            most: self.max_commits,
        };
        match self.since.as_deref().map(|text| (text, date(text, now))) {
            None => {}
            Some((text, Some(time))) if time > now => {
                return Err(anyhow::anyhow!("--since {text} is in the future"))
                    .hint("nothing would be searched; name a day that has come");
            }
            Some((_, Some(time))) => range.since = Some(time.as_second()),
            Some((text, None)) => {
                let commit: Result<ObjectId, RepoError> =
                    repository.resolve(&format!("{text}^{{commit}}"));
                let commit = commit
                    .with_context(|| format!("--since {text}: neither a date nor a commit here"))
                    .hint(DATES)?;
                range.revisions.push(format!("^{commit}"));
            }
        }
        let commits = repository
            .commits(&range)
            .with_context(|| format!("can't tell which commits are meant by {}", self.words()))
            .hint(
                "`git log --oneline RANGE` shows what a range means, `git branch -a` the \
                 branches; in a shallow clone, `git fetch --unshallow` (in CI: fetch-depth 0)",
            )?;
        Ok(Some(Chosen {
            commits,
            words: self.words(),
            way: Way::Quickest,
        }))
    }
}

/// A point in time as people write it.
fn date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let dashed = text.as_bytes().get(4) == Some(&b'-');
    if dashed
        && let Ok(day) = text.parse::<Date>()
        && text.len() == 10
    {
        return day.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
    }
    if dashed && let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if dashed && let Ok(time) = text.parse::<DateTime>() {
        return time.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
    }
    // Without "ago", `1234d` might be a commit.
    let past = text
        .trim()
        .ends_with("ago")
        .then(|| text.trim().parse::<Span>().ok())??;
    let then = now.to_zoned(TimeZone::UTC).checked_add(past).ok()?;
    Some(then.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_strictly() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let read = |text| date(text, now).map(|time| time.to_string());
        for (text, time) in [
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
            ("2026-01-31 10:00:00+02", "2026-01-31T08:00:00Z"),
            ("2026-01-31T10:00", "2026-01-31T10:00:00Z"),
            ("2 weeks ago", "2026-02-24T12:00:00Z"),
            ("1 month ago", "2026-02-10T12:00:00Z"),
            ("36 hours ago", "2026-03-09T00:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(time), "{text}");
        }
        for text in [
            "2026-13-01",
            "yesterday",
            "20260131",
            "1234d",
            "cafe",
            "",
            "ago",
            "some ago",
            "v1.0",
            "2026-01-31x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
