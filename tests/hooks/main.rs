//! Hooks as people meet them: the real git, the real program, real repositories.
#![cfg(unix)]

mod chain;
mod frameworks;
mod global;
mod install;
mod sandbox;
mod story;
mod templates;
