//! Hooks as people meet them: the real git, the real program, real repositories.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test panics where it fails

mod chain;
mod frameworks;
mod global;
mod install;
mod rotation;
mod sandbox;
mod story;
mod templates;
