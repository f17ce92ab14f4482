//! Heads that were signed with `ssh-keygen -Y sign -n skewer`: who signed them, by that program's own
//! word. A head that lies beside its trail can be changed with it; one that was signed can't.

use std::path::Path;
use std::time::Duration;

use crate::process::{Program, ProgramError};
use crate::secret::Secret;

/// What a signature is for: one that was made for something else does not count.
pub const NAMESPACE: &str = "skewer";

/// `ssh-keygen` asks nobody.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum BadSignature {
    /// `ssh-keygen` is not there, or did not end.
    #[error("the signature can't be checked: {0}; install OpenSSH 8.9 or newer")]
    Program(#[from] ProgramError),
    /// Nobody who may sign made it.
    #[error("nobody in {allowed} made this signature: {said}")]
    Nobody {
        /// The file of those who may sign.
        allowed: String,
        /// What `ssh-keygen` said; to be redacted before it is shown.
        said: String,
    },
    /// It is for another text, or another purpose.
    #[error("the signature by {signer} is not that of this head: {said}")]
    Other {
        /// Who made it.
        signer: String,
        /// What `ssh-keygen` said; to be redacted before it is shown.
        said: String,
    },
}

fn run(
    arguments: &[&str],
    signature: &Path,
    allowed: &Path,
    input: &[u8],
) -> Result<(bool, String, String), ProgramError> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut command: Vec<String> = ["ssh-keygen", "-Y"].map(str::to_owned).to_vec();
    command.extend(arguments.iter().map(|one| (*one).to_owned()));
    command.extend(["-s".to_owned(), path(signature)]);
    command.extend(["-f".to_owned(), path(allowed)]);
    let program = Program {
        command,
        directory: None,
        environment: Vec::new(),
        limit: LIMIT,
    };
    let output = program.run(&Secret::new(input.to_vec()))?;
    let said = String::from_utf8_lossy(output.stdout.expose()).into_owned();
    Ok((output.status.success(), said, output.stderr))
}

/// Who signed a head: one of those whom the file `allowed` names (`ssh-keygen(1)`, "ALLOWED
/// SIGNERS").
///
/// # Errors
/// See [`BadSignature`].
pub fn signer(head: &[u8], signature: &Path, allowed: &Path) -> Result<String, BadSignature> {
    let (found, said, why) = run(&["find-principals"], signature, allowed, &[])?;
    let principal = said.lines().next().unwrap_or_default().trim().to_owned();
    // A name that reads as an option would be one.
    if !found || principal.is_empty() || principal.starts_with('-') {
        return Err(BadSignature::Nobody {
            allowed: allowed.display().to_string(),
            said: why.trim().to_owned(),
        });
    }
    let verify = ["verify", "-I", &principal, "-n", NAMESPACE];
    let (good, said, why) = run(&verify, signature, allowed, head)?;
    match good {
        true => Ok(principal),
        false => Err(BadSignature::Other {
            signer: principal,
            said: [said.trim(), why.trim()].join(" ").trim().to_owned(),
        }),
    }
}
