//! What to read: working trees, what is staged. Sources open and account; they don't search.

pub mod staged;
mod ignores;
pub mod tree;
