//! `skewer` finds leaked OpenAI API keys. The library is silent: it neither prints nor reads the
//! environment; `ARCHITECTURE.md` shows its rooms and which way imports point.

pub mod coverage;
pub mod finding;
pub mod matcher;
pub mod repo;
pub mod rules;
pub mod secret;
pub mod source;
