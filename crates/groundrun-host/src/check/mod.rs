//! Whether tasks can run on this machine, how well, and what to do where they cannot.
//!
//! `facts` reads the machine and judges nothing; `verdict` judges and reads nothing.

mod facts;
mod verdict;

use std::{fmt, path::Path};

pub use self::facts::Facts;
use crate::cgroup::Limiting;

/// What a server is to do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Whether limits must hold.
    pub limiting: Limiting,
    /// The network of tasks.
    pub network: Network,
}

/// The network that tasks are to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// One of their own, joined to the outside.
    Private,
    /// The machine's, or none: nothing is needed for it.
    Plain,
}

/// One line of the report: a thing that tasks need, what was found, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The thing.
    pub topic: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What mends or betters it, where something does.
    pub remedy: Option<String>,
}

/// How good a thing is for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// Tasks run, with less than they could have.
    Less,
    /// Tasks cannot run.
    Missing,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{}: {remedy}", self.finding),
            None => f.write_str(&self.finding),
        }
    }
}

/// Everything about this machine that matters to tasks. Changes nothing.
///
/// `data_dir` is where the server's data is to be; it need not exist.
#[must_use]
pub fn report(data_dir: &Path, intent: Intent) -> Vec<Row> {
    let facts = Facts::read(data_dir);
    let facts = match intent.network {
        Network::Private => facts.with_firewall(),
        Network::Plain => facts,
    };
    verdict::rows(&facts, intent)
}

/// What keeps tasks from running here; empty when they can. Changes nothing.
#[must_use]
pub fn check(data_dir: &Path, intent: Intent) -> Vec<Row> {
    let mut rows = verdict::rows(&Facts::read(data_dir), intent);
    rows.retain(|row| row.state == State::Missing);
    rows
}
