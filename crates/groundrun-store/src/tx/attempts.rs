//! Writing attempts.

use std::sync::Arc;

use groundrun_core::{id::AttemptId, record::Attempt};
use rusqlite::named_params;

use super::Tx;
use crate::{
    error::StoreError,
    rows::{attempt::ending, maybe_micros, micros},
    watch::{Attempts, Subject},
};

impl Tx<'_> {
    /// New attempts. One that was written before, in whatever state, is an error: it runs at most once.
    pub fn insert_attempts<'a>(
        &mut self,
        attempts: impl IntoIterator<Item = &'a Attempt>,
    ) -> Result<(), StoreError> {
        for attempt in attempts {
            let end = ending(attempt.ended.as_ref());
            self.execute(
                "INSERT INTO attempts (execution, task, attempt, boot, intended, started, ended,
                    ending, container, exit_code, exit_signal, cause, memory_peak, fault, message)
                 VALUES (:execution, :task, :attempt, :boot, :intended, :started, :ended,
                    :ending, :container, :exit_code, :exit_signal, :cause, :memory_peak, :fault,
                    :message)",
                named_params! {
                    ":execution": attempt.id.execution.0.as_bytes(),
                    ":task": attempt.id.task,
                    ":attempt": attempt.id.attempt,
                    ":boot": attempt.boot.0.as_bytes(),
                    ":intended": micros(attempt.intended),
                    ":started": maybe_micros(attempt.started),
                    ":ended": end.ended,
                    ":ending": end.ending,
                    ":container": end.container,
                    ":exit_code": end.exit_code,
                    ":exit_signal": end.exit_signal,
                    ":cause": end.cause,
                    ":memory_peak": end.memory_peak,
                    ":fault": end.fault,
                    ":message": end.message,
                },
            )?;
            let first = if attempt.id.attempt == 0 { Attempts::First } else { Attempts::Later };
            self.touch_attempt(attempt.id, first)?;
        }
        Ok(())
    }

    /// What became of attempts: `started` and `ended`. The rest of an attempt never changes.
    pub fn update_attempts<'a>(
        &mut self,
        attempts: impl IntoIterator<Item = &'a Attempt>,
    ) -> Result<(), StoreError> {
        for attempt in attempts {
            let end = ending(attempt.ended.as_ref());
            let rows = self.execute(
                "UPDATE attempts SET started = :started, ended = :ended, ending = :ending,
                    container = :container, exit_code = :exit_code, exit_signal = :exit_signal, cause = :cause,
                    memory_peak = :memory_peak, fault = :fault, message = :message
                 WHERE execution = :execution AND task = :task AND attempt = :attempt",
                named_params! {
                    ":execution": attempt.id.execution.0.as_bytes(),
                    ":task": attempt.id.task,
                    ":attempt": attempt.id.attempt,
                    ":started": maybe_micros(attempt.started),
                    ":ended": end.ended,
                    ":ending": end.ending,
                    ":container": end.container,
                    ":exit_code": end.exit_code,
                    ":exit_signal": end.exit_signal,
                    ":cause": end.cause,
                    ":memory_peak": end.memory_peak,
                    ":fault": end.fault,
                    ":message": end.message,
                },
            )?;
            if rows == 0 {
                return Err(no_such(attempt.id));
            }
            self.touch_attempt(attempt.id, Attempts::Later)?;
        }
        Ok(())
    }

    /// A change of an attempt is one of its execution, whose revision its task shows.
    fn touch_attempt(&mut self, id: AttemptId, what: Attempts) -> Result<(), StoreError> {
        let trace = self.changed(Subject::Execution(id.execution));
        let first = trace.tasks.is_empty();
        Arc::make_mut(&mut trace.tasks).entry(id.task).or_insert(what);
        if first {
            self.execute(
                "UPDATE executions SET revision = ?1 WHERE uid = ?2",
                (self.revision.0, id.execution.0.as_bytes()),
            )?;
        }
        Ok(())
    }
}

fn no_such(id: AttemptId) -> StoreError {
    StoreError::NoSuchRow { table: "attempts", id: id.to_string() }
}
