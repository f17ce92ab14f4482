//! What can be wrong with an object database.

use crate::repo::ObjectId;

/// Why an object, or a whole pack, could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("can't be opened: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("is cut short")]
    Short,
    #[error("is no {0}")]
    NotA(&'static str),
    #[error("has an entry header that git does not write")]
    Header,
    #[error("its compressed data is damaged")]
    Compressed,
    #[error("inflates to another size than it says")]
    Size,
    #[error("is a delta that does not fit its base")]
    Delta,
    #[error("is a delta of more instructions than are handled")]
    Instructions,
    #[error("is a delta against {0}, which is damaged or missing here")]
    Base(ObjectId),
    #[error("is a delta whose base is damaged, or is itself a delta against this one")]
    Unrooted,
    #[error("is too large to rebuild ({0} bytes)")]
    TooLarge(u64),
    #[error("holds so many keys that some were not written down")]
    Crowded,
    #[error("the index disagrees with the pack")]
    Disagrees,
}
