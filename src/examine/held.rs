//! Memory that members use one after another, and members that are held whole.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use super::Buffers;
use crate::unpack::{Chain, Reservation};

/// As much of each stream is looked at before anything else: most members end within it.
pub(super) const FIRST: usize = 128 << 10;

/// Memory that is used again.
#[derive(Default)]
pub(super) struct Scratch {
    first: Mutex<Vec<Vec<u8>>>,
    buffers: Mutex<Vec<Buffers>>,
}

impl Scratch {
    pub(super) fn buffers(&self) -> Buffers {
        pop(&self.buffers)
    }

    pub(super) fn give_buffers(&self, buffers: Buffers) {
        push(&self.buffers, buffers);
    }

    pub(super) fn first(&self) -> Vec<u8> {
        pop(&self.first)
    }

    pub(super) fn give_first(&self, mut first: Vec<u8>) {
        first.clear();
        push(&self.first, first);
    }
}

fn pop<T: Default>(pool: &Mutex<Vec<T>>) -> T {
    let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
    pool.pop().unwrap_or_default()
}

fn push<T>(pool: &Mutex<Vec<T>>, one: T) {
    pool.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(one);
}

/// Reads until `to` has `most` bytes or the stream ends; says which of both.
pub(super) fn fill(reader: &mut dyn Read, to: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let had = to.len();
    let room = most.saturating_sub(had);
    reader.take(room as u64).read_to_end(to)?;
    Ok(to.len() < most)
}

/// Holds a stream whole, if there is memory for it; says whether it is whole, and what it may take.
/// `bytes` have been read, `declared` is the size that it is said to have. After an error, too,
/// there won't be more.
pub(super) fn hold(
    bytes: &mut Vec<u8>,
    reader: &mut dyn Read,
    declared: Option<u64>,
    chain: &Chain,
) -> (bool, Option<Reservation>) {
    let mut memory = None;
    let mut room = bytes.len() as u64;
    loop {
        let wanted = match declared {
            // One byte more shows that it ends where it is said to.
            Some(size) if size >= room => size + 1,
            _ => room * 2,
        };
        let more = chain.reserve(wanted);
        let more_room = usize::try_from(wanted).unwrap_or(usize::MAX) - bytes.len();
        if more.is_none() || bytes.try_reserve_exact(more_room).is_err() {
            return (false, memory);
        }
        // The old room is free as soon as the bytes have moved.
        memory = more;
        room = wanted;
        if fill(reader, bytes, room as usize).unwrap_or(true) {
            return (true, memory);
        }
    }
}
