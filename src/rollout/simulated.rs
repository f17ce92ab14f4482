//! A rollout of nothing: for drills, and for the tests of what moves consumers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Direction, Move, Progress, Rollout, RolloutError, Started};

/// What runs when consumers are to fetch their key anew; see [`Simulated::calling`].
type Restart = Box<dyn Fn(Direction) + Send + Sync>;

/// Counts what was started, and is done after so many questions.
pub struct Simulated {
    questions: usize,
    fails: bool,
    restart: Option<Restart>,
    moves: Mutex<BTreeMap<String, usize>>,
}

impl Simulated {
    /// Done when it was asked that often.
    pub fn done_after(questions: usize) -> Self {
        Self {
            questions,
            fails: false,
            restart: None,
            moves: Mutex::default(),
        }
    }

    /// Fails on the way to key B, and gets back to A.
    pub fn failing() -> Self {
        Self {
            fails: true,
            ..Self::done_after(0)
        }
    }

    /// Calls `restart` each time that a move is started.
    #[must_use]
    pub fn calling(mut self, restart: impl Fn(Direction) + Send + Sync + 'static) -> Self {
        self.restart = Some(Box::new(restart));
        self
    }

    /// What was started so far, as `rotation-forward` or `rotation-back`.
    pub fn moves(&self) -> Vec<String> {
        self.state().keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.moves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rollout for Simulated {
    fn target(&self) -> String {
        "simulated".to_owned()
    }

    fn calls(&self, _: Direction) -> Vec<String> {
        vec!["nothing".to_owned()]
    }

    fn rights(&self) -> Vec<String> {
        Vec::new()
    }

    fn preflight(&self) -> Result<Vec<String>, RolloutError> {
        Ok(Vec::new())
    }

    fn start(&self, to: Move<'_>) -> Result<Started, RolloutError> {
        let name = to.to_string();
        let new = !self.state().contains_key(&name);
        if new {
            self.state().insert(name.clone(), 0);
            if let Some(restart) = &self.restart {
                restart(to.direction);
            }
        }
        Ok(Started::new(name))
    }

    fn progress(&self, started: &Started) -> Result<Progress, RolloutError> {
        let mut state = self.state();
        let asked = state.entry(started.as_str().to_owned()).or_default();
        *asked += 1;
        Ok(match *asked > self.questions {
            true if self.fails && !started.as_str().ends_with("-back") => {
                Progress::Failed("it was to fail".to_owned())
            }
            true => Progress::Done,
            false => Progress::Moving(format!("asked {asked} times")),
        })
    }
}
