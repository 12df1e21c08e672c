//! Reading attempts. An execution may have a hundred thousand: they are handed over one by one, in order.

use std::ops::Range;

use groundrun_core::{id::ExecutionUid, record::Attempt};
use rusqlite::Params;

use super::View;
use crate::{error::StoreError, rows};

impl View<'_> {
    /// Every attempt of these tasks, by task and number. All of them: `0..u32::MAX`.
    pub fn attempts(
        &self,
        execution: ExecutionUid,
        tasks: Range<u32>,
        each: impl FnMut(Attempt),
    ) -> Result<(), StoreError> {
        self.each_attempt(
            "SELECT * FROM attempts WHERE execution = ?1 AND task >= ?2 AND task < ?3
             ORDER BY task, attempt",
            (execution.0.as_bytes(), tasks.start, tasks.end),
            each,
        )
    }

    /// The last attempt of each of these tasks that has one, by task.
    pub fn latest_attempts(
        &self,
        execution: ExecutionUid,
        tasks: Range<u32>,
        each: impl FnMut(Attempt),
    ) -> Result<(), StoreError> {
        self.each_attempt(
            "SELECT * FROM attempts AS this WHERE execution = ?1 AND task >= ?2 AND task < ?3
                AND NOT EXISTS (SELECT 1 FROM attempts AS later
                    WHERE later.execution = this.execution AND later.task = this.task
                        AND later.attempt > this.attempt)
             ORDER BY task",
            (execution.0.as_bytes(), tasks.start, tasks.end),
            each,
        )
    }

    /// The attempts of one task, by number.
    pub fn attempts_of_task(
        &self,
        execution: ExecutionUid,
        task: u32,
    ) -> Result<Vec<Attempt>, StoreError> {
        let mut attempts = Vec::new();
        self.each_attempt(
            "SELECT * FROM attempts WHERE execution = ?1 AND task = ?2 ORDER BY attempt",
            (execution.0.as_bytes(), task),
            |attempt| attempts.push(attempt),
        )?;
        Ok(attempts)
    }

    fn each_attempt(
        &self,
        sql: &str,
        params: impl Params,
        mut each: impl FnMut(Attempt),
    ) -> Result<(), StoreError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            each(rows::attempt::read(row)?);
        }
        Ok(())
    }
}
