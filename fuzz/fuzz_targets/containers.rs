//! Whatever a container's bytes say: unpacking ends, within its limits, and says the same from memory
//! and from a stream that arrives in pieces about how much there was.
#![cfg_attr(fuzzing, no_main)]

#[path = "../sums.rs"]
pub(crate) mod sums;

use std::io::{self, Read};
use std::sync::LazyLock;

use skewer::coverage::Unread;
use skewer::examine::{Buffers, Examiner, Limits, Unpacking, UnreadMember};
use skewer::matcher::Matcher;
use skewer::rules::Rules;
use skewer::unpack::{Budget, HEAD, is_program, recognise};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    let size = libfuzzer_sys::fuzzer_mutate(data, size, most);
    if seed % 8 != 0 {
        sums::mend(&mut data[..size]);
    }
    size
});

static MATCHER: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(&Rules::built_in(), None));

const LIMITS: Limits = Limits {
    depth: 6,
    member_size: 1 << 20,
    unpacked_size: 8 << 20,
    ratio: 1000,
    members: 10_000,
    time: std::time::Duration::from_secs(60),
};

/// Hands out a few bytes at a time.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = to.len().min(1 + self.0.len() % 1013);
        self.0.read(&mut to[..most])
    }
}

pub(crate) fn check(data: &[u8]) {
    let head = &data[..data.len().min(HEAD)];
    // Brotli has no signature: it is what nothing else is, and is called so.
    let name: &[u8] = match recognise(head, b"").is_some() || is_program(head) {
        true => b"",
        false => b"a.br",
    };
    for streamed in [false, true] {
        let unpacking = Unpacking {
            limits: LIMITS,
            // One chain gets half, and each decoder has to have its part of it.
            budget: Budget::new(128 << 20),
            ..Unpacking::default()
        };
        let examiner = Examiner {
            matcher: &MATCHER,
            unpacking: &unpacking,
            go_on: &|| true,
        };
        let seen = match streamed {
            false => examiner.bytes(name, data, &mut |_| {}),
            true => examiner.stream(name, Pieces(data), &mut Buffers::default(), &mut |_| {}),
        };
        seen.result.expect("the reader never fails");
        let is_over = |one: &UnreadMember| matches!(one.why, Unread::Over(_));
        assert!(seen.bytes == data.len() as u64 || seen.unread.iter().any(is_over));
        // The last member may go over.
        assert!(seen.members.bytes <= LIMITS.unpacked_size + 2 * LIMITS.member_size);
        assert!(seen.members.items <= LIMITS.members + 1);
    }
}
