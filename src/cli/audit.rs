//! `skewer audit`: the trail checked, its head printed, its records exported.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::error::Hint;
use super::{Context, Exit};
use crate::audit::{self, Head, PROFILES, Receiver, Sender};
use crate::http::roots_from_pem;
use crate::matcher::Matcher;
use crate::rules::Rules;

/// How long a log server may take to be reached, and for each message.
const PATIENCE: Duration = Duration::from_secs(10);

/// Check and export the audit trail.
#[derive(clap::Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Follow the trail's chain of hashes from the first line to the last.
    ///
    /// Finds an edit, a reorder and a gap. A cut end, and a trail written anew, are found with a
    /// head that was kept elsewhere: name it with --head. Ends with 1 if the trail does not hold.
    Verify(Verify),
    /// Print the trail's head: keep it elsewhere, or sign it.
    ///
    /// The trail is verified first.
    Head(Print),
    /// Print the records in the form of a SIEM, or send them to a log server.
    ///
    /// The trail is verified first.
    Export(Export),
}

#[derive(clap::Args)]
struct Trail {
    /// The trail.
    #[arg(value_name = "TRAIL")]
    path: PathBuf,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer audit verify trail.jsonl --head \"$(cat head)\"
  skewer audit verify trail.jsonl --head-file head
  skewer audit verify trail.jsonl --head-file head --signature head.sig --allowed-signers signers")]
struct Verify {
    #[command(flatten)]
    trail: Trail,
    /// A head that was printed before: `skewer.trail/1 LINES HASH`.
    #[arg(long, value_name = "HEAD")]
    head: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "head")]
    head_file: Option<PathBuf>,
    /// The signature of the head's file, by `ssh-keygen -Y sign -n skewer`.
    #[arg(long, value_name = "FILE", requires_all = ["head_file", "allowed_signers"])]
    signature: Option<PathBuf>,
    /// Who may sign: a file as ssh-keygen(1) has it, a line such as `ann@example.com ssh-ed25519 …`.
    #[arg(long, value_name = "FILE", requires = "signature")]
    allowed_signers: Option<PathBuf>,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer audit head trail.jsonl >head
  skewer audit head trail.jsonl >head && ssh-keygen -Y sign -n skewer -f ~/.ssh/id_ed25519 head")]
struct Print {
    #[command(flatten)]
    trail: Trail,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  skewer audit export trail.jsonl --profile wazuh >>/var/log/skewer.json
  skewer audit export trail.jsonl --to tls://log.example.com --ca ca.pem --after 1200")]
struct Export {
    #[command(flatten)]
    trail: Trail,
    /// The form of a record.
    #[arg(long, value_name = "PROFILE", default_value = "ocsf", value_parser = profiles(), long_help = profile_help())]
    profile: String,
    /// Send RFC 5424 messages there: tcp://HOST:PORT, tls://HOST[:6514] or udp://HOST[:514].
    #[arg(long, value_name = "RECEIVER")]
    to: Option<Receiver>,
    /// Certificates that a tls:// receiver's may lead to, as PEM.
    #[arg(long, value_name = "FILE", requires = "to")]
    ca: Option<PathBuf>,
    /// Only records after this number: those before are there already.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
}

fn profiles() -> clap::builder::PossibleValuesParser {
    PROFILES
        .iter()
        .map(|profile| profile.name)
        .collect::<Vec<_>>()
        .into()
}

fn profile_help() -> String {
    let lines = PROFILES
        .iter()
        .map(|profile| format!("\n  {:<6} {}", profile.name, profile.help));
    format!("The form of a record:{}", lines.collect::<String>())
}

impl Trail {
    fn open(&self) -> anyhow::Result<impl BufRead> {
        let file = File::open(&self.path);
        let file = file.with_context(|| format!("can't read {}", self.path.display()))?;
        Ok(BufReader::new(file))
    }

    /// Checks it; `Err` holds the flaw if it does not hold.
    fn check(&self, head: Option<&Head>) -> anyhow::Result<Result<audit::Checked, audit::Flaw>> {
        Ok(match audit::check(self.open()?, head) {
            Err(audit::Flaw::Io(error)) => return Err(error.into()),
            outcome => outcome,
        })
    }

    /// Checks it for whoever goes on with it.
    fn must_hold(&self) -> anyhow::Result<audit::Checked> {
        self.check(None)?
            .with_context(|| format!("{} does not hold", self.path.display()))
            .hint("nothing was exported; `skewer audit verify` says the same, and ends with 1")
    }
}

impl Audit {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.action {
            Action::Verify(verify) => verify.run(context),
            Action::Head(print) => {
                writeln!(io::stdout().lock(), "{}", print.trail.must_hold()?.head)?;
                Ok(Exit::Nothing)
            }
            Action::Export(export) => export.run(context),
        }
    }
}

impl Verify {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let text = match &self.head_file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("can't read {}", path.display()))?,
            ),
            None => self.head,
        };
        let mut out = io::stdout().lock();
        if let (Some(text), Some(signature), Some(allowed)) =
            (&text, &self.signature, &self.allowed_signers)
        {
            let matcher = Matcher::new(&Rules::built_in(), None);
            let shown = |text: &str| matcher.redact(text.as_bytes());
            match audit::signer(text.as_bytes(), signature, allowed) {
                Ok(signer) if !context.quiet => {
                    writeln!(out, "the head was signed by {}", shown(&signer))?;
                }
                Ok(_) => {}
                Err(audit::BadSignature::Program(error)) => {
                    return Err(audit::BadSignature::Program(error).into());
                }
                Err(flaw) => {
                    writeln!(out, "{}", shown(&flaw.to_string()))?;
                    return Ok(Exit::Found);
                }
            }
        }
        let head: Option<Head> = text.map(|text| text.parse()).transpose()?;
        match self.trail.check(head.as_ref())? {
            Ok(checked) => {
                if !context.quiet {
                    write!(out, "the trail holds: {} lines", checked.head.lines)?;
                    match checked.since {
                        Some(since) => write!(out, ", {since} of them since the head")?,
                        None => write!(out, "; without a head, a cut end can't be found")?,
                    }
                    if checked.torn > 0 {
                        write!(out, "; {} torn lines, as records say", checked.torn)?;
                    }
                    writeln!(out)?;
                }
                Ok(Exit::Nothing)
            }
            Err(flaw) => {
                writeln!(out, "the trail does not hold: {flaw}")?;
                Ok(Exit::Found)
            }
        }
    }
}

impl Export {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.trail.must_hold()?;
        let profile = audit::profile(&self.profile).context("clap knows the profiles")?;
        let mut sender = match &self.to {
            Some(receiver) => {
                let roots = match &self.ca {
                    Some(path) => {
                        let pem = std::fs::read(path)
                            .with_context(|| format!("can't read {}", path.display()))?;
                        let wrong = |why| anyhow::anyhow!("{}: {why}", path.display());
                        roots_from_pem(&pem).map_err(wrong)?
                    }
                    None => Vec::new(),
                };
                Some(Sender::connect(receiver, &roots, PATIENCE)?)
            }
            None => None,
        };
        let matcher = Matcher::new(&Rules::built_in(), None);
        let mut out = io::BufWriter::new(io::stdout().lock());
        let (mut count, mut last) = (0, self.after);
        for record in audit::records(self.trail.open()?, |line| matcher.redact(line)) {
            let record = record?;
            if record.seq <= self.after {
                continue;
            }
            let line = (profile.render)(&record);
            match &mut sender {
                Some(sender) => sender
                    .send(&audit::message(&record, &line))
                    .hint(format!("go on with --after {last}"))?,
                None => writeln!(out, "{line}")?,
            }
            (count, last) = (count + 1, record.seq);
        }
        out.flush()?;
        if let (Some(sender), Some(receiver)) = (sender, &self.to) {
            sender.close()?;
            if !context.quiet {
                writeln!(
                    context.stderr(),
                    "sent {count} records to {receiver}; the last was {last}"
                )?;
            }
        }
        Ok(Exit::Nothing)
    }
}
