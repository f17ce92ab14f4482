//! `skewer rotate hand-over`: key B for a consumer that no rollout reaches, by a one-time token.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::setup::SetupFlags;
use crate::audit::{Activity, Entity, EntityKind, Event, Outcome, Step};
use crate::cli::error::Hint;
use crate::cli::settings::SettingFlags;
use crate::cli::{Context, Exit};
use crate::rotate::{Memory, hand_over};

/// Hand key B over to a consumer that no rollout reaches, by a token that is opened once.
///
/// For places in Vault or OpenBao, from when key B is written there until the rotation is closed. The
/// key itself passes through nobody's hands; if somebody else opened the token first, that shows:
/// then abort. Who opens it: `vault unwrap`, or POST sys/wrapping/unwrap.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer rotate hand-over 0123abcd prod -o token
  VAULT_TOKEN=$(cat token) vault unwrap -field=data        where the consumer is

Exit status: 0 the token is in FILE, 2 there is none")]
pub(in crate::cli) struct HandOver {
    /// The rotation's id.
    #[arg(value_name = "ID")]
    id: String,
    /// The store where key B waits (a name from [stores]).
    #[arg(value_name = "PLACE")]
    place: String,
    /// A new file for the token, which its owner alone may read.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How long the token can be opened, in minutes.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

impl HandOver {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let loaded = self.settings.load()?;
        let stop = context.interruptible();
        let setup = self.setup.open(&loaded, context, &stop, false)?;
        let summary = self.setup.journal(&setup.policy)?.read(&self.id)?;
        let place = self.place.as_str();
        let store = setup.stores.get(place);
        let store = store.with_context(|| format!("{place} is not in your config.toml"))?;
        let path = self.output.display();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // Made first: a token that can't be written down would be lost.
        let mut file = options
            .open(&self.output)
            .with_context(|| format!("can't make {path}"))
            .hint("name a file that does not exist yet, where you may write")?;
        let lifetime = Duration::from_secs(self.minutes * 60);
        let token = hand_over(&summary, place, store.as_ref(), lifetime);
        let made = Memory::of(&summary.entries);
        let event = Event::Step(Step {
            rotation: self.id.clone(),
            step: "hand_over".to_owned(),
            activity: Activity::Read,
            entity: Entity {
                kind: EntityKind::Secret,
                id: setup.show(place),
                name: None,
                key: made.key_b().map(|made| made.fingerprint),
            },
            outcome: match &token {
                Ok(_) => Outcome::Success,
                Err(_) => Outcome::Failure,
            },
            detail: token
                .as_ref()
                .err()
                .map(|error| setup.show(&error.to_string())),
            facts: BTreeMap::from([("minutes".to_owned(), setup.show(&self.minutes.to_string()))]),
        });
        if let Err(error) = setup.write(jiff::Timestamp::now(), &event) {
            let gap = setup.show(&error);
            writeln!(context.stderr(), "skewer: the audit trail has a gap: {gap}")?;
        }
        setup.close(context)?;
        let token = token.inspect_err(|_| {
            // Empty, and of no use to anybody.
            let _ = std::fs::remove_file(&self.output);
        })?;
        file.write_all(token.expose())?;
        file.sync_all()?;
        writeln!(
            context.stderr(),
            "skewer: {path} holds a token that hands key B over once, within {} minutes",
            self.minutes
        )?;
        Ok(Exit::Nothing)
    }
}
