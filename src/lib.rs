//! `skewer` finds leaked OpenAI API keys. The library is silent: it neither prints nor reads the
//! environment; `ARCHITECTURE.md` shows its rooms and which way imports point.

pub mod account;
pub mod cache;
pub mod cli;
pub mod config;
pub mod coverage;
pub mod examine;
pub mod finding;
pub mod history;
pub mod hooks;
pub mod matcher;
pub mod repo;
pub mod report;
pub mod rules;
pub mod scan;
pub mod secret;
pub mod source;
pub mod suppress;
