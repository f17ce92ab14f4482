//! Asking `git` itself, for what nothing else here can read. It is told to run nothing that the
//! repository's configuration names, and to fetch nothing.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{GitEnvironment, RepoError};

/// The variables that say which repository is meant (they are set from [`GitEnvironment`], never
/// inherited), and those that would change what plumbing prints.
const OURS: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_CEILING_DIRECTORIES",
    "GIT_PREFIX",
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
    "GIT_INDEX_VERSION",
];

/// How `git` is started for one repository.
#[derive(Clone, Debug)]
pub(super) struct Git {
    /// Where it is started.
    pub(super) directory: PathBuf,
    /// What it finds set; every path in it absolute, or relative to `directory`.
    pub(super) environment: GitEnvironment,
}

impl Git {
    /// A command that runs nothing that the configuration names.
    pub(super) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let off = [
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "protocol.allow=never",
        ];
        let mut command = self.plain(off);
        command.args(args);
        command
    }

    /// A command that sees the whole configuration: only for asking what it says.
    pub(super) fn plain<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.directory).stdin(Stdio::null());
        for name in OURS {
            command.env_remove(name);
        }
        let set = &self.environment;
        let paths = [
            ("GIT_DIR", &set.git_dir),
            ("GIT_WORK_TREE", &set.work_tree),
            ("GIT_COMMON_DIR", &set.common_dir),
            ("GIT_INDEX_FILE", &set.index_file),
            ("GIT_OBJECT_DIRECTORY", &set.object_directory),
            ("GIT_QUARANTINE_PATH", &set.quarantine_path),
        ];
        for (name, value) in paths {
            command.envs(value.as_ref().map(|value| (name, value.as_os_str())));
        }
        let lists = [
            (
                "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                &set.alternate_object_directories,
            ),
            ("GIT_CEILING_DIRECTORIES", &set.ceiling_directories),
        ];
        for (name, value) in lists {
            command.envs(value.as_ref().map(|value| (name, value)));
        }
        // Objects are read as they are stored, nothing is written, nothing is fetched.
        command
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .arg("--no-pager")
            .args(args);
        command
    }

    /// Runs to the end; `Err` holds what it said if it failed.
    pub(super) fn run(&self, args: &[&str]) -> Result<Vec<u8>, RepoError> {
        self.run_with(args, Vec::new())
    }

    /// The same, with standard input.
    pub(super) fn run_with(&self, args: &[&str], input: Vec<u8>) -> Result<Vec<u8>, RepoError> {
        let (status, out, said) = self.outcome(self.command(args), input)?;
        if status == Some(0) {
            return Ok(out);
        }
        Err(RepoError::Git {
            command: args.first().copied().unwrap_or_default().to_owned(),
            reason: said,
        })
    }

    /// Runs to the end and returns the exit status (`None`: killed), output and messages.
    pub(super) fn outcome(
        &self,
        mut command: Command,
        input: Vec<u8>,
    ) -> Result<(Option<i32>, Vec<u8>, String), RepoError> {
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(RepoError::NoGit)?;
        let stdin = child.stdin.take();
        // From a thread of its own, because git may answer before it has read everything. If it
        // stops reading, its status tells why.
        let feeder = std::thread::spawn(move || {
            stdin.map(|mut stdin| io::Write::write_all(&mut stdin, &input))
        });
        let output = child.wait_with_output().map_err(RepoError::NoGit)?;
        drop(feeder.join());
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok((output.status.code(), output.stdout, said))
    }

    /// Starts `git` with its standard output to be read.
    pub(super) fn spawn(&self, args: &[&str], stdin: Stdio) -> Result<Child, RepoError> {
        self.command(args)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(RepoError::NoGit)
    }
}

/// What a child prints, read to its end, which must come with success and after so many bytes.
#[derive(Debug)]
pub(super) struct Output {
    child: Child,
    left: u64,
}

impl Output {
    pub(super) fn new(child: Child, expected: u64) -> Self {
        Self {
            child,
            left: expected,
        }
    }
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let stdout = self.child.stdout.as_mut().expect("spawned with a pipe");
        let got = stdout.read(buf)?;
        if got == 0 && !buf.is_empty() {
            let status = self.child.wait()?;
            if !status.success() || self.left != 0 {
                let why = format!("git ended early ({status}, {} bytes missing)", self.left);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
        self.left = self.left.saturating_sub(got as u64);
        Ok(got)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // It may wait for a reader: nobody will come.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
