//! Where audits remember what they have read: a directory of the user's own, or nowhere.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use super::Context;
use crate::cache::Cache;
use crate::examine::Limits;
use crate::history::Memory;
use crate::rules::Rules;

/// What all entries may have together (256 MiB); those not used for longest go.
const LIMIT: u64 = 256 << 20;

/// To be flattened into every command that audits.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CacheFlags {
    /// Read everything again, and remember nothing of it for the next time.
    #[arg(long)]
    no_cache: bool,
}

/// `skewer` in `$XDG_CACHE_HOME`, or in what stands for it.
fn directory() -> Option<PathBuf> {
    let variable = |name: &str| {
        let value = PathBuf::from(std::env::var_os(name)?);
        // The XDG specification: relative paths are to be ignored.
        value.is_absolute().then_some(value)
    };
    let base = variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .or_else(|| variable("LOCALAPPDATA"));
    base.map(|base| base.join("skewer"))
}

impl CacheFlags {
    /// What earlier audits remember. An audit that can't remember anything only takes longer: it
    /// says so, and goes on.
    pub(super) fn memory(
        &self,
        context: &Context,
        rules: &Rules,
        limits: &Limits,
    ) -> Option<Memory> {
        let directory = directory().filter(|_| !self.no_cache)?;
        match Cache::open(&directory, LIMIT, SystemTime::now()) {
            Ok(cache) => Some(Memory::new(cache, rules, limits)),
            Err(error) => {
                if !context.quiet {
                    // Nowhere to say it: then it stays unsaid.
                    let _ = writeln!(context.stderr(), "skewer: nothing is remembered: {error}");
                }
                None
            }
        }
    }
}
