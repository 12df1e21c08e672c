//! Opens what the merge asks for: of an execution its attempts, of an attempt its log and what the service says of it.

use std::sync::Arc;

use groundrun_api::{ApiError, logging::Order, v1};
use groundrun_core::{
    id::AttemptId,
    log::{LogLine, Stream},
    record::{Attempt, Execution},
    render,
};
use groundrun_store::Store;
use jiff::Timestamp;

use super::{
    entry::Line,
    merge::{Log, Opened, Position, Tree},
    reading::{self, Span},
    seam::Logs,
    sources::{Source, end},
};
use crate::error::{Outcome, Refusal};

/// The records and logs that a list is of.
pub(super) struct Records {
    pub(super) store: Store,
    pub(super) logs: Arc<dyn Logs>,
    pub(super) order: Order,
    pub(super) span: Span,
    /// Only of this task.
    pub(super) task: Option<u32>,
}

/// What can be opened.
pub(super) enum Branch {
    Execution(Arc<Source>),
    Attempt { of: Arc<Source>, spec: Arc<v1::ExecutionSpec>, id: AttemptId },
}

/// A line and where it is from.
pub(super) type Found = (Arc<Source>, Line);

impl Records {
    /// The bound of something whose lines are within `span`.
    pub(super) fn bound(&self, (since, until): (Timestamp, Timestamp)) -> Position {
        let at = match self.order {
            Order::OldestFirst => since.max(self.span.since),
            Order::NewestFirst => until.min(self.span.until),
        };
        Position::bound(at, self.order)
    }

    fn attempts(&self, of: &Arc<Source>) -> Outcome<Vec<(Position, Branch)>> {
        let tasks = match self.task {
            Some(task) => task..task.saturating_add(1),
            None => 0..u32::MAX,
        };
        let mut spans = Vec::new();
        let execution = self.store.read(|view| {
            view.attempts(of.uid, tasks, |attempt| spans.push((attempt.id, span(&attempt))))?;
            Outcome::Ok(view.execution_by_uid(of.uid)?)
        })?;
        // Deleted and reaped meanwhile: then it has no logs any more.
        let Some(Execution { spec, .. }) = execution else { return Ok(Vec::new()) };
        let meets = |(_, (since, until)): &(AttemptId, (Timestamp, Timestamp))| {
            *since <= self.span.until && self.span.since <= *until
        };
        let branch = |(id, span)| {
            let branch = Branch::Attempt { of: Arc::clone(of), spec: Arc::clone(&spec), id };
            (self.bound(span), branch)
        };
        Ok(spans.into_iter().filter(meets).map(branch).collect())
    }

    fn written(
        &self,
        of: &Arc<Source>,
        spec: &v1::ExecutionSpec,
        id: AttemptId,
    ) -> Outcome<Log<Found, Refusal>> {
        let failed = move |error: std::io::Error| {
            tracing::error!(%id, %error, "a log cannot be read");
            Refusal(ApiError::internal(format_args!("reading the log of attempt {id}: {error}")))
        };
        let lines = reading::lines(&self.logs, id, self.span, self.order).map_err(failed)?;
        let of = Arc::clone(of);
        let names = Names::of(spec);
        Ok(Box::new(lines.map(move |line| {
            let line = line.map_err(failed)?;
            let position = Position::of(id, line.at, line.sequence);
            Ok((position, (Arc::clone(&of), names.line(line))))
        })))
    }

    /// What the service says comes after all that the task wrote at the same time.
    fn said(
        &self,
        of: &Arc<Source>,
        spec: &v1::ExecutionSpec,
        id: AttemptId,
    ) -> Outcome<Log<Found, Refusal>> {
        let attempts =
            self.store.read(|view| Outcome::Ok(view.attempts_of_task(id.execution, id.task)?))?;
        let attempt = attempts.iter().find(|attempt| attempt.id == id);
        let said = attempt.map(|attempt| said(attempt, spec)).unwrap_or_default();
        let mut lines: Vec<_> = said
            .into_iter()
            .filter(|(at, _)| self.span.since <= at.at && at.at <= self.span.until)
            .map(|(position, line)| Ok((position, (Arc::clone(of), line))))
            .collect();
        if self.order == Order::NewestFirst {
            lines.reverse();
        }
        Ok(Box::new(lines.into_iter()))
    }
}

impl Tree for Records {
    type Branch = Branch;
    type Line = Found;
    type Error = Refusal;

    fn open(&mut self, branch: Branch) -> Outcome<Opened<Self>> {
        match branch {
            Branch::Execution(of) => Ok(Opened { branches: self.attempts(&of)?, logs: Vec::new() }),
            Branch::Attempt { of, spec, id } => {
                let logs = vec![self.written(&of, &spec, id)?, self.said(&of, &spec, id)?];
                Ok(Opened { branches: Vec::new(), logs })
            }
        }
    }
}

/// What the service says of an attempt that ended: behind all that it wrote.
pub(super) fn said(attempt: &Attempt, spec: &v1::ExecutionSpec) -> Vec<(Position, Line)> {
    let said = task(spec).map(|task| render::system_log(attempt, task)).unwrap_or_default();
    let first = u64::MAX - said.len() as u64;
    let place = |(sequence, line): (u64, render::LogLine)| {
        (Position::of(attempt.id, line.at, sequence), Line::System(line))
    };
    (first..).zip(said).map(place).collect()
}

/// The names of a task's containers, by their places.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<Arc<str>>);

impl Names {
    pub(super) fn of(spec: &v1::ExecutionSpec) -> Self {
        Self(task(spec).map(render::container_names).into_iter().flatten().map(Arc::from).collect())
    }

    /// A line with the name of the container that wrote it.
    pub(super) fn line(&self, line: LogLine) -> Line {
        // The monitor's notes are of the attempt: of its container, where there is one.
        let of_one = line.stream != Stream::Note || self.0.len() == 1;
        let name = self.0.get(line.container).filter(|_| of_one).cloned();
        Line::Task(line, name.unwrap_or_else(|| Arc::from("")))
    }
}

fn task(spec: &v1::ExecutionSpec) -> Option<&v1::TaskSpec> {
    spec.template.as_ref().and_then(|template| template.spec.as_ref())
}

fn span(attempt: &Attempt) -> (Timestamp, Timestamp) {
    (attempt.intended, end(attempt.ended.as_ref().map(|(at, _)| *at)))
}
