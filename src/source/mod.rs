//! What to read: working trees, what is staged. Sources open and account; they don't search.

mod ignores;
pub mod places;
pub mod staged;
pub mod tree;
