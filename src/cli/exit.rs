//! What the exit status says.

use std::io;
use std::process::ExitCode;

/// How a run ended. The numbers are an interface: scripts and hooks rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: nothing was found, and everything was read.
    Nothing,
    /// 1: keys were found (or those that `--fail-on` names), whatever else happened.
    Found,
    /// 2: wrong use, or it could not run.
    CannotRun,
    /// 3: nothing was found, but something could not be read, or a verification is not complete.
    Incomplete,
    /// 4: a rotation stands still, and can be resumed.
    Paused,
    /// 5: a rotation stands still, or was undone: a person has to decide.
    Human,
    /// 130: stopped by Ctrl-C before the end.
    Interrupted,
    /// 141: whoever read the output went away.
    Pipe,
    /// Whatever a hook that was there before ours said.
    Kept(u8),
}

/// For `--help`.
pub(super) const HELP: &str = "\
Exit status:
  0    nothing found, everything read
  1    keys found (wins, but over 4 and 5 of --rotate)
  2    wrong use, or it could not run
  3    nothing found, but something could not be read, or --verify could not find all out
  4    a rotation stands still and can be resumed    5  a person has to decide about it
  130  interrupted    141  the reader of the output went away";

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Found => 1,
            Self::CannotRun => 2,
            Self::Incomplete => 3,
            Self::Paused => 4,
            Self::Human => 5,
            Self::Interrupted => 130,
            Self::Pipe => 141,
            Self::Kept(code) => code,
        }
    }

    /// The status for a failure to write, where that failure has one of its own.
    pub(super) fn from_io(error: &io::Error) -> Option<Self> {
        (error.kind() == io::ErrorKind::BrokenPipe).then_some(Self::Pipe)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
