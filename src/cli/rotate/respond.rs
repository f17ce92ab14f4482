//! `skewer respond`: Wazuh's active response to a leaked key.

use std::io::{self, BufReader, Write};

use super::automatic::{Reacting, Suspect};
use super::named::{Named, aim};
use super::plan::{Draft, propose};
use super::setup::{Setup, SetupFlags};
use super::show;
use crate::audit::{Leaked, Wanted, read_alert};
use crate::cli::error::Hint;
use crate::cli::settings::SettingFlags;
use crate::cli::{Context, Exit};
use crate::rotate::{Strategy, eligible};
use crate::secret::Secret;
use crate::verdict::Verdict;

/// Respond to an alert of Wazuh about a leaked key: read its ids, verify the key again, and rotate it
/// if your policy allows; else print the plan.
///
/// Takes what Wazuh 4.x or 5.x sends to an active response on standard input. Of the alert only
/// `skewer_key_id` and `skewer_key` are looked at (see `skewer audit export --profile wazuh`): they
/// name a key, and nothing in an alert says what is done. A key that no store of your configuration
/// hands out can't be verified, and is never rotated by itself.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer respond --config /etc/skewer/config.toml <alert.json
  skewer respond --stateful --config /etc/skewer/config.toml    in a stateful response of 4.x

Exit status: 0 rotated, its plan was printed, or there is nothing to do, 2 it is no alert about a leaked
key or could not run, 3 the key could not be verified, 4 and 5 as for `skewer rotate start`")]
pub(in crate::cli) struct Respond {
    /// Ask Wazuh 4.x whether to go on (`check_keys`): for commands with <timeout_allowed>yes.
    #[arg(long)]
    stateful: bool,
    #[command(flatten)]
    setup: SetupFlags,
    #[command(flatten)]
    settings: SettingFlags,
}

const TO_TRY: &str =
    "`skewer respond --help` says what it takes; to try it, pipe what Wazuh would send into it";

impl Respond {
    pub(in crate::cli) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut input = BufReader::new(io::stdin());
        let leaked = match read_alert(&mut input).hint(TO_TRY)? {
            Wanted::Respond(leaked) => leaked,
            Wanted::TakeBack => {
                writeln!(
                    context.stderr(),
                    "skewer: a rotation is not taken back when a time is over; nothing to do"
                )?;
                return Ok(Exit::Nothing);
            }
        };
        if self.stateful
            && !leaked
                .may_go_on(&mut input, &mut io::stdout())
                .hint(TO_TRY)?
        {
            return Ok(Exit::Nothing);
        }
        let loaded = self.settings.load()?;
        let stop = context.interruptible();
        let automatic = loaded.outer()?.policy.automatic.is_some();
        let setup = self.setup.open(&loaded, context, &stop, automatic)?;
        let Some(value) = value(&setup, &leaked) else {
            return self.unverified(&setup, &leaked, context);
        };
        let suspect = Suspect {
            fingerprint: value.fingerprint(),
            check: setup.check(&value),
            value,
            leak: None,
            kept: false,
        };
        let said = |text: String| writeln!(context.stderr(), "skewer: {}", setup.show(&text));
        if matches!(suspect.check.verdict, Verdict::Dead { .. }) {
            said(format!("{} is dead: nothing to do", leaked.name()))?;
            return Ok(Exit::Nothing);
        }
        let record = match eligible(&suspect.check) {
            Ok(record) => record,
            Err(shut) => {
                said(format!("{} is not rotated: {shut}", leaked.name()))?;
                return Ok(Exit::Incomplete);
            }
        };
        if let Some(named) = &leaked.key_id
            && named.as_bytes() != record.id.as_bytes()
        {
            said(format!(
                "the alert names {named}, and this key's record is {}: nothing is done for either",
                record.id
            ))?;
            return Ok(Exit::Incomplete);
        }
        let reacting = Reacting {
            flags: self.setup.clone(),
            loaded: &loaded,
            context,
            stop: &stop,
        };
        Ok(reacting.react(&suspect)?.unwrap_or(Exit::Nothing))
    }

    /// The plan for a key whose value is not at hand, for a person to look at.
    fn unverified(
        &self,
        setup: &Setup,
        leaked: &Leaked,
        context: &Context,
    ) -> anyhow::Result<Exit> {
        let name = leaked.name();
        let mut err = context.stderr();
        writeln!(
            err,
            "skewer: no store of your configuration hands {name} out, so nobody can verify it: it is not rotated by itself"
        )?;
        let Some(id) = &leaked.key_id else {
            return Ok(Exit::Incomplete);
        };
        let aim = match aim(setup, &self.setup, &Named::Id(id.clone()), false) {
            Ok(aim) => aim,
            Err(error) => {
                writeln!(err, "skewer: {}", setup.show(&format!("{error:#}")))?;
                return Ok(Exit::Incomplete);
            }
        };
        let draft = Draft {
            strategy: Strategy::RevokeOnly,
            ..Draft::default()
        };
        match propose(setup, &aim, &draft)? {
            Ok(prepared) => {
                show::plan(&mut err, &prepared, |text| setup.show(text))?;
                writeln!(
                    err,
                    "Nothing was changed. `skewer revoke {id} --apply` carries it out, if nobody uses this key."
                )?;
            }
            Err(wrong) => writeln!(err, "skewer: {}", setup.show(&wrong.join("; ")))?,
        }
        Ok(Exit::Incomplete)
    }
}

/// The value of the key, where a store hands it out.
fn value(setup: &Setup, leaked: &Leaked) -> Option<Secret> {
    if let Some(print) = leaked.fingerprint {
        return setup.find(print);
    }
    let id = leaked.key_id.as_ref()?;
    // Only its mask is known: whose it is will be verified.
    let aim = aim(
        setup,
        &SetupFlags::of(None, None),
        &Named::Id(id.clone()),
        false,
    );
    aim.ok()?.value
}
