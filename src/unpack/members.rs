//! What a format hands out, and to whom.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use super::{Damage, Reservation};
use crate::coverage::Unread;

/// Nothing more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stop;

/// One step into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// What is stepped into, in a word: `file`, `layer`, `table`, `gzip`.
    pub kind: &'static str,
    /// Its name as it stands there, not fit to be shown; empty if it has none.
    pub name: Cow<'a, [u8]>,
    /// Whether people take what is inside and what is outside for one thing.
    pub is_content: bool,
}

impl<'a> Step<'a> {
    /// A member with a path, in archives. Shown as the path alone.
    pub fn file(path: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::named(Self::FILE, path)
    }

    /// Something of a kind, with a name: `table users`.
    pub fn named(kind: &'static str, name: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            kind,
            name: name.into(),
            is_content: false,
        }
    }

    /// Something of a kind, with a number: `layer 3`.
    pub fn numbered(kind: &'static str, number: u64) -> Self {
        Self::named(kind, number.to_string().into_bytes())
    }

    /// The only one of its kind: `comment`, `configuration`.
    pub fn part(kind: &'static str) -> Self {
        Self::named(kind, &b""[..])
    }

    /// All that a compressed file holds; `format` is its format's name. Not shown to people, who
    /// take a compressed file and its content for one thing.
    pub fn content(format: &'static str) -> Self {
        Self {
            is_content: true,
            ..Self::part(format)
        }
    }

    /// The kind of members with a path.
    pub const FILE: &'static str = "file";
}

/// A member's bytes.
pub enum Body<'a> {
    /// All of them.
    Bytes(&'a [u8]),
    /// A stream, and how long it says it is, for what that is worth. An error of it means that the
    /// member is damaged: whoever reads it tells, and the format need not. It need not be read
    /// to its end.
    Stream(&'a mut dyn Read, Option<u64>),
}

/// What is done with members. `examine` implements it.
pub trait Members {
    /// Takes a member. Its name is searched as well.
    ///
    /// # Errors
    /// [`Stop`]: nothing more is wanted.
    fn member(&mut self, step: Step<'_>, body: Body<'_>) -> Result<(), Stop>;

    /// Notes that a member, or a part of one, can't be read. Its name is searched.
    fn unread(&mut self, step: Step<'_>, why: Unread);

    /// Takes text of the container itself: comments, the names that links point to, metadata.
    fn text(&mut self, step: Step<'_>, bytes: &[u8]);

    /// Takes bytes of the container that belong to no member, such as what stands behind its end;
    /// `offset` is their place in the container. They are searched and not unpacked.
    ///
    /// # Errors
    /// [`Stop`]: nothing more is wanted.
    fn raw(&mut self, offset: u64, bytes: &mut dyn Read) -> Result<(), Stop>;

    /// Notes which bytes of an [`Input::Random`](super::Input) were handed out or hold no text.
    /// Those that nobody noted are searched as they are when the format is done.
    fn covers(&mut self, range: Range<u64>);

    /// Asks for memory: windows, and whatever is held of more than a megabyte. `None` if there can't
    /// be so much; otherwise it is there as long as the reservation lives. May wait for others, and
    /// gives the same answer however many there are.
    fn reserve(&mut self, bytes: u64) -> Option<Reservation>;

    /// Whether something of this identity was handed out before in this run, and need not be again.
    /// From now on it was; if it was before, its `bytes` are counted as such.
    fn seen(&mut self, identity: [u8; 32], bytes: u64) -> bool;

    /// Runs `one` for each number below `count`, on many threads if that is worth while. What they
    /// hand out counts as if it had been handed out in order.
    ///
    /// # Errors
    /// The first in order, after all are done; [`Damage::Stopped`] keeps the others from starting.
    fn each(&mut self, count: usize, one: &EachMember<'_>) -> Result<(), Damage>;
}

/// What [`Members::each`] runs.
pub type EachMember<'a> = dyn Fn(usize, &mut dyn Members) -> Result<(), Damage> + Sync + 'a;
