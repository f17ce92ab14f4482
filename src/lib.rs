//! `skewer` finds leaked OpenAI API keys. The library is silent: it neither prints nor reads the
//! environment; `ARCHITECTURE.md` shows its rooms and which way imports point.

pub mod coverage;
pub mod finding;
pub mod hooks;
pub mod matcher;
pub mod rules;
pub mod secret;
