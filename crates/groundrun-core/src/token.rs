//! Execution tokens: a job that is written with a new one gets an execution of that name, in the same transaction, and
//! is Ready once that has started or succeeded (fact: semantics 3.4).
//!
//! The token is the job's for as long as its last execution is the token's. Any other run makes it the past: it is not
//! shown any more, and to send it again is to ask for a name that is taken.

use groundrun_api::v1::JobSpec;
use jiff::Timestamp;

use crate::{
    mutant,
    record::{Completed, Execution, Failure, Job, Outcome},
};

/// What a job waits for before it is Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// `startExecutionToken`: its execution has started.
    Started,
    /// `runExecutionToken`: its execution has succeeded.
    Succeeded,
}

/// The token of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// The end of its execution's name.
    pub text: &'a str,
    /// What the job waits for.
    pub until: Until,
}

/// What became of a token's execution, as far as the job is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It may still come to it.
    Open,
    /// It came to it.
    Done(Timestamp),
    /// It never will.
    Failed(Timestamp, Failure),
}

impl<'a> Token<'a> {
    /// The token that a spec names; an empty one is none.
    #[must_use]
    pub fn of(spec: &'a JobSpec) -> Option<Self> {
        let given = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        let start = given(&spec.start_execution_token);
        let run = given(&spec.run_execution_token);
        let start = start.map(|text| Token { text, until: Until::Started });
        start.or(run.map(|text| Token { text, until: Until::Succeeded }))
    }

    /// The token of a job whose last execution is the token's.
    #[must_use]
    pub fn current(job: &'a Job) -> Option<Self> {
        let token = Self::of(&job.spec)?;
        let latest = job.latest_execution.as_ref()?;
        let is_last = latest.name == token.execution(&job.name) || mutant!("tokens_stay");
        is_last.then_some(token)
    }

    /// The name of its execution.
    #[must_use]
    pub fn execution(&self, job: &str) -> String {
        format!("{job}-{}", self.text)
    }

    /// How far the execution is that the job waits for.
    pub(crate) fn progress(&self, execution: &Execution) -> Progress {
        let state = &execution.state;
        match (self.until, state.started, &state.completed) {
            (Until::Started, Some(started), _) if !mutant!("a_start_is_not_enough") => {
                Progress::Done(started)
            }
            (_, _, Some(Completed { at, outcome })) => match outcome {
                Outcome::Succeeded => Progress::Done(*at),
                Outcome::Failed(failure) => Progress::Failed(*at, failure.clone()),
                Outcome::Cancelled => Progress::Failed(*at, cancelled()),
            },
            (_, _, None) => Progress::Open,
        }
    }
}

/// As the execution itself says it.
fn cancelled() -> Failure {
    Failure { reason: Some("Cancelled".to_owned()), message: "Cancelled by user.".to_owned() }
}

/// The spec as clients see it: a token of the past is not in it.
#[must_use]
pub fn shown(job: &Job) -> JobSpec {
    let spec = job.spec.as_ref().clone();
    match Token::current(job) {
        Some(_) => spec,
        None => JobSpec { start_execution_token: None, run_execution_token: None, ..spec },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::LatestExecution,
        samples::{accepted, begun, by_gcloud, ended, failure, job, running, with},
    };

    fn waiting(field: &str, latest: Option<&str>) -> Job {
        let mut job = job(with(by_gcloud(), &format!("/spec/{field}"), "t1".into()));
        let execution = accepted(1);
        job.latest_execution = latest.map(|name| LatestExecution {
            uid: execution.uid,
            name: name.to_owned(),
            created: execution.created,
        });
        job
    }

    #[test]
    fn a_token_is_the_jobs_while_its_execution_is_the_last() {
        let shows = |latest| shown(&waiting("startExecutionToken", latest)).start_execution_token;
        assert_eq!(shows(Some("sieve-t1")).as_deref(), Some("t1"));
        assert_eq!(shows(Some("sieve-bcdfg")), None);
        assert_eq!(shows(None), None);
    }

    #[test]
    fn a_start_is_enough_for_one_and_the_other_wants_success() {
        let progress = |field: &str, execution: &Execution| {
            let job = waiting(field, Some("sieve-t1"));
            match Token::current(&job).expect("it is current").progress(execution) {
                Progress::Open => "open".to_owned(),
                Progress::Done(_) => "done".to_owned(),
                Progress::Failed(_, failure) => failure.message,
            }
        };
        let failed = |execution| ended(execution, 200.0, failure(None, "why"));
        let stopped = |execution| ended(execution, 200.0, Outcome::Cancelled);
        let cases = [
            (accepted(1), "open", "open"),
            (begun(1), "open", "open"),
            (running(1), "done", "open"),
            (ended(running(1), 200.0, Outcome::Succeeded), "done", "done"),
            (failed(running(1)), "done", "why"),
            (failed(begun(1)), "why", "why"),
            (stopped(running(1)), "done", "Cancelled by user."),
            (stopped(accepted(1)), "Cancelled by user.", "Cancelled by user."),
        ];
        for (execution, start, run) in cases {
            assert_eq!(progress("startExecutionToken", &execution), start, "{execution:?}");
            assert_eq!(progress("runExecutionToken", &execution), run, "{execution:?}");
        }
    }
}
