//! Standard input, for commands that read it as it comes.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a run that waits for input looks whether it is to stop.
const LOOKS: Duration = Duration::from_millis(100);

/// Standard input, through as large a pipe as the system grants: at 64 KiB, two programs spend
/// their time waking each other. It ends when the run is to stop, even if nothing comes.
pub(super) fn standard_input(stop: &AtomicBool) -> Input<'_> {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(io::stdin(), 1 << 20);
    Input {
        stop,
        stdin: io::stdin().lock(),
    }
}

/// See [`standard_input`].
pub(super) struct Input<'a> {
    stop: &'a AtomicBool,
    stdin: io::StdinLock<'static>,
}

impl Input<'_> {
    /// Waits until there is something to read, or the input has ended, or the run is to stop; at
    /// most for so long. Where the system can't wait for a pipe, there always is something.
    pub(super) fn wait(&self, most: Duration) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            return true;
        }
        #[cfg(unix)]
        {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut fds = [PollFd::new(&self.stdin, PollFlags::IN)];
            let most = most.min(LOOKS);
            let most = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(most.subsec_nanos()),
            };
            // What is wrong with it, reading will tell.
            !matches!(
                poll(&mut fds, Some(&most)),
                Ok(0) | Err(rustix::io::Errno::INTR)
            )
        }
        #[cfg(not(unix))]
        {
            let _ = most;
            true
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !self.wait(LOOKS) {}
        if self.stop.load(Ordering::Relaxed) {
            return Ok(0);
        }
        self.stdin.read(to)
    }
}
