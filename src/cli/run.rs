//! What all commands that search have in common: their flags, and what is made ready from them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Context;
use super::reporting::{ReportFlags, Reporting};
use super::settings::{Loaded, SettingFlags};
use crate::matcher::Matcher;
use crate::repo::GitEnvironment;
use crate::rules::Rules;
use crate::scan;

/// To be flattened into every command that searches and reports.
#[derive(clap::Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    report: ReportFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

/// What a run needs before it reads anything.
pub(super) struct Ready {
    pub(super) loaded: Loaded,
    pub(super) rules: Rules,
    pub(super) matcher: Matcher,
    pub(super) settings: scan::Settings,
    /// Set by Ctrl-C.
    pub(super) stop: Arc<AtomicBool>,
    /// git's own variables.
    pub(super) environment: GitEnvironment,
    report: ReportFlags,
}

impl RunFlags {
    /// Loads settings and rules, and listens for Ctrl-C.
    ///
    /// # Errors
    /// Settings, rules or a baseline can't be used.
    pub(super) fn ready(&self, context: &Context) -> anyhow::Result<Ready> {
        let loaded = self.settings.load()?;
        let rules = loaded.rules()?;
        let matcher = Matcher::new(&rules, None);
        let settings = loaded.for_scan(&matcher)?;
        Ok(Ready {
            loaded,
            rules,
            matcher,
            settings,
            stop: context.interruptible(),
            environment: GitEnvironment::from_lookup(|name| std::env::var_os(name)),
            report: self.report.clone(),
        })
    }
}

impl Ready {
    /// Opens the report; see [`ReportFlags::open`].
    ///
    /// # Errors
    /// The file can't be written, or `--reveal` is refused.
    pub(super) fn report<'a>(
        &'a self,
        context: &'a Context,
        live: bool,
    ) -> anyhow::Result<Reporting<'a>> {
        self.report.open(context, &self.stop, live)
    }
}
