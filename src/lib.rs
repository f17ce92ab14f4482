//! `skewer` finds leaked OpenAI API keys. The library is silent: it neither prints nor reads the
//! environment; `ARCHITECTURE.md` shows its rooms and which way imports point.

pub mod account;
pub mod audit;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod coverage;
pub mod disk;
pub mod examine;
pub mod finding;
pub mod history;
pub mod hooks;
pub mod http;
pub mod matcher;
pub mod openai;
pub mod process;
pub mod repo;
pub mod report;
pub mod rollout;
pub mod rotate;
pub mod rules;
pub mod sandbox;
pub mod scan;
pub mod secret;
pub mod source;
pub mod store;
pub mod suppress;
pub mod swarm;
pub mod unpack;
pub mod verdict;
pub mod verify;
