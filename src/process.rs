//! Runs a program: a secret goes in on standard input, never as an argument; what comes back is
//! bounded, and so is the time that it takes.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::secret::Secret;

/// How much a program may say on standard output, in bytes.
pub const MOST_OUTPUT: usize = 1 << 20;

/// How much is kept of what it says on standard error, in bytes: the end of it.
const MOST_COMPLAINTS: usize = 4 << 10;

/// How long a program that has ended may leave its output open to what it started.
const LINGER: Duration = Duration::from_secs(2);

/// A program, to be run without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; there is at least one.
    pub command: Vec<String>,
    /// Where it is started; the current directory, if nowhere else.
    pub directory: Option<PathBuf>,
    /// Variables that it gets besides ours. No secrets: other users may see them.
    pub environment: Vec<(String, String)>,
    /// How long it may take.
    pub limit: Duration,
}

/// What a program that ended said.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output; it may be a secret.
    pub stdout: Secret,
    /// The end of its standard error. It comes from outside: to be redacted before it is shown.
    pub stderr: String,
}

/// Why a program said nothing that counts.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It did not start.
    #[error("{program} did not start: {error}")]
    Start {
        /// Which program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// It was stopped, since it took too long.
    #[error("{program} was stopped, since it had not ended after {} s", limit.as_secs_f64())]
    TooLong {
        /// Which program.
        program: String,
        /// How long it might have taken.
        limit: Duration,
    },
    /// It said too much.
    #[error("{program} was stopped, since it wrote more than {MOST_OUTPUT} bytes")]
    TooMuch {
        /// Which program.
        program: String,
    },
    /// It could not be heard to the end.
    #[error("{program}: {error}")]
    Io {
        /// Which program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
}

impl ProgramError {
    /// Whether it ran, so that it may have done something.
    pub fn ran(&self) -> bool {
        !matches!(self, Self::Start { .. })
    }
}

impl Program {
    /// Its name, for people; arguments may say more than they should.
    pub fn name(&self) -> String {
        self.command.first().cloned().unwrap_or_default()
    }

    /// Starts it, writes `input` to its standard input, and waits for its end.
    ///
    /// # Errors
    /// It did not start, or had to be stopped. How it ended is no error here.
    pub fn run(&self, input: &Secret) -> Result<Output, ProgramError> {
        self.outcome(Stdio::piped, input)
    }

    /// Starts it and waits for its end, while it may ask its user for something: it has our terminal,
    /// and what it says on standard error goes there.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn ask(&self) -> Result<Output, ProgramError> {
        self.outcome(Stdio::inherit, &Secret::new(Vec::new()))
    }

    /// `other`: what its standard input and its standard error are.
    fn outcome(&self, other: fn() -> Stdio, input: &Secret) -> Result<Output, ProgramError> {
        let program = self.name();
        let mut command = Command::new(&program);
        command
            .args(self.command.iter().skip(1))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(other())
            .stdout(Stdio::piped())
            .stderr(other());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut child = command
            .spawn()
            .map_err(|error| ProgramError::Start { program, error })?;
        let outcome = self.listen(&mut child, input);
        if outcome.is_err() {
            // It may have ended meanwhile.
            let _ = child.kill();
            let _ = child.wait();
        }
        outcome
    }

    fn listen(&self, child: &mut Child, input: &Secret) -> Result<Output, ProgramError> {
        let program = self.name();
        let mut stdout = child
            .stdout
            .take()
            .expect("the pipe was asked for when it was started");
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.clone();
            // A program that does not read its input to the end has its reasons.
            thread::spawn(move || stdin.write_all(input.expose()));
        }
        let output = heard(move || whole(&mut stdout));
        let complaints = child.stderr.take();
        let complaints = complaints.map(|mut stderr| heard(move || last(&mut stderr)));
        let status = self.ended(child)?;
        let late = |_: RecvTimeoutError| ProgramError::Io {
            program: program.clone(),
            error: io::Error::other(
                "it ended, but something that it started keeps its output open",
            ),
        };
        let wrong = |error| ProgramError::Io {
            program: program.clone(),
            error,
        };
        let stdout = output.recv_timeout(LINGER).map_err(late)?.map_err(wrong)?;
        let stdout = stdout.ok_or_else(|| ProgramError::TooMuch {
            program: program.clone(),
        })?;
        let stderr = complaints.map(|heard| heard.recv_timeout(LINGER));
        let stderr = stderr.transpose().map_err(late)?.unwrap_or_default();
        Ok(Output {
            status,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }

    /// Waits for the end, looking more and more seldom.
    fn ended(&self, child: &mut Child) -> Result<ExitStatus, ProgramError> {
        let (mut waited, mut pause) = (Duration::ZERO, Duration::from_millis(1));
        loop {
            let status = child.try_wait().map_err(|error| ProgramError::Io {
                program: self.name(),
                error,
            })?;
            if let Some(status) = status {
                return Ok(status);
            }
            if waited >= self.limit {
                return Err(ProgramError::TooLong {
                    program: self.name(),
                    limit: self.limit,
                });
            }
            let step = pause.min(self.limit - waited);
            thread::sleep(step);
            waited += step;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// Runs `read` beside us, so that a full pipe stops nobody.
fn heard<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = channel();
    // Nobody listens any more if the program was stopped.
    thread::spawn(move || sender.send(read()));
    receiver
}

/// Everything, if it is not too much.
fn whole(from: &mut impl Read) -> io::Result<Option<Secret>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(64 << 10));
    from.take(MOST_OUTPUT as u64 + 1).read_to_end(&mut bytes)?;
    // The rest is read, so that the program can end.
    let too_much = bytes.len() > MOST_OUTPUT;
    io::copy(from, &mut io::sink())?;
    Ok((!too_much).then(|| Secret::new(std::mem::take(&mut bytes))))
}

fn last(from: &mut impl Read) -> Vec<u8> {
    let (mut kept, mut block) = (Vec::new(), [0; MOST_COMPLAINTS]);
    while let Ok(read @ 1..) = from.read(&mut block) {
        kept.extend_from_slice(&block[..read]);
        let surplus = kept.len().saturating_sub(MOST_COMPLAINTS);
        kept.drain(..surplus);
    }
    kept
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            directory: None,
            environment: vec![("GIVEN".to_owned(), "yes".to_owned())],
            limit: Duration::from_secs(20),
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    #[test]
    fn what_a_program_prints_is_heard_while_it_has_the_terminal() {
        let said = shell("echo v").ask().unwrap();
        assert!(said.status.success());
        assert_eq!((said.stdout.expose(), &*said.stderr), (&b"v\n"[..], ""));
        assert!(!shell("exit 3").ask().unwrap().status.success());
    }

    #[test]
    fn input_goes_in_and_output_comes_out() {
        let output = shell("cat; printf %s \"$GIVEN\"; echo complaint >&2; exit 3")
            .run(&secret("value "))
            .unwrap();
        assert_eq!(output.stdout, secret("value yes"));
        assert_eq!(
            (output.stderr.as_str(), output.status.code()),
            ("complaint", Some(3))
        );
    }

    #[test]
    fn large_inputs_and_outputs_block_nobody() {
        let large = secret(&"x".repeat(MOST_OUTPUT));
        assert_eq!(shell("cat").run(&large).unwrap().stdout, large);
        assert!(shell("exit 0").run(&large).is_ok(), "it need not read");
        let chatty = shell("cat; yes | head -c 3000000 >&2").run(&large).unwrap();
        assert!(chatty.stderr.len() <= MOST_COMPLAINTS);
        let error = shell("yes | head -c 3000000").run(&large).unwrap_err();
        assert!(matches!(error, ProgramError::TooMuch { .. }) && error.ran());
    }

    #[test]
    fn what_does_not_end_is_stopped() {
        let mut slow = shell("exec sleep 60");
        slow.limit = Duration::from_millis(50);
        let error = slow.run(&secret("")).unwrap_err();
        assert!(matches!(error, ProgramError::TooLong { .. }));
        let lingering = shell("sleep 5 & exit 0").run(&secret("")).unwrap_err();
        assert!(lingering.to_string().contains("keeps its output open"));
    }

    #[test]
    fn what_is_not_there_does_not_start() {
        let mut absent = shell("");
        absent.command = vec!["/nowhere/at all".to_owned()];
        assert!(!absent.run(&secret("")).unwrap_err().ran());
    }
}
