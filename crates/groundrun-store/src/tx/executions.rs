//! Writing executions.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_core::{
    id::ExecutionUid,
    record::{Execution, ExecutionState},
};
use rusqlite::{OptionalExtension, named_params};

use super::{Applied, Tx, jobs::Labelled};
use crate::{
    error::StoreError,
    rows::{
        execution::{images, outcome},
        maybe_micros, micros, to_json,
    },
    watch::{Fate, Gone, Subject},
};

/// How far the removal of a deleted execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reaped {
    /// There are rows left: call again.
    More,
    /// Nothing of it is left.
    All,
}

impl Tx<'_> {
    /// A new execution of a job: raises the job's `execution_count`, makes it the job's latest, and sets the revision
    /// of both. `labels` are those that selectors shall see, the server's own among them.
    ///
    /// Its name must be free and its job there. `DiskFull` while the disk is low.
    pub fn insert_execution(
        &mut self,
        execution: &mut Execution,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.ask_for_room()?;
        execution.revision = self.revision;
        self.insert_row(execution)?;
        self.write_spec(&execution.uid.0, &to_json("the spec of an execution", &*execution.spec)?)?;
        self.index_labels(&labelled(execution), labels)?;
        let rows = self.execute(
            "UPDATE jobs SET execution_count = execution_count + 1, latest_uid = ?1,
                latest_name = ?2, latest_created = ?3, revision = ?4
             WHERE uid = ?5",
            (
                execution.uid.0.as_bytes(),
                &execution.name,
                micros(execution.created),
                self.revision.0,
                execution.job.uid.0.as_bytes(),
            ),
        )?;
        if rows == 0 {
            return Err(StoreError::NoSuchRow { table: "jobs", id: execution.job.uid.to_string() });
        }
        self.changed(Subject::Job(execution.job.uid));
        self.changed(Subject::Execution(execution.uid)).fate = Fate::Made;
        Ok(())
    }

    fn insert_row(&mut self, execution: &Execution) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO executions (uid, project, region, name,
                job_uid, job_name, job_generation, job_revision, generation, created, revision,
                labels, annotations, creator, last_modifier, operation_id, cancel_wish, delete_wish,
                observed_generation, images, running, succeeded, failed, cancelled, retried)
             VALUES (:uid, :project, :region, :name,
                :job_uid, :job_name, :job_generation, :job_revision, :generation, :created, :revision,
                :labels, :annotations, :creator, :last_modifier, :operation_id, :cancel, :delete,
                0, '', 0, 0, 0, 0, 0)",
            named_params! {
                ":uid": execution.uid.0.as_bytes(),
                ":project": execution.scope.project,
                ":region": execution.scope.region,
                ":name": execution.name,
                ":job_uid": execution.job.uid.0.as_bytes(),
                ":job_name": execution.job.name,
                ":job_generation": execution.job.generation,
                ":job_revision": execution.job.revision.0,
                ":generation": execution.generation,
                ":created": micros(execution.created),
                ":revision": execution.revision.0,
                ":labels": to_json("labels", &execution.labels)?,
                ":annotations": to_json("annotations", &execution.annotations)?,
                ":creator": execution.author.creator,
                ":last_modifier": execution.author.last_modifier,
                ":operation_id": execution.author.operation_id,
                ":cancel": maybe_micros(execution.wishes.cancel),
                ":delete": maybe_micros(execution.wishes.delete),
            },
        )?;
        // One place knows the columns of the state.
        self.write_state(execution.uid, &execution.state)?;
        Ok(())
    }

    /// What a client wished about an execution, read in this same write: `wishes`, `generation` and `author`, and the
    /// labels that selectors see; sets its revision. Its state stays as it is on disk.
    pub fn update_wishes(
        &mut self,
        execution: &mut Execution,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        execution.revision = self.revision;
        let last =
            self.execution_without_spec(execution.uid)?.ok_or_else(|| no_such(execution.uid))?;
        let rows = self.execute(
            "UPDATE executions SET generation = ?1, cancel_wish = ?2, delete_wish = ?3, creator = ?4,
                last_modifier = ?5, operation_id = ?6, revision = ?7
             WHERE uid = ?8",
            (
                execution.generation,
                maybe_micros(execution.wishes.cancel),
                maybe_micros(execution.wishes.delete),
                &execution.author.creator,
                &execution.author.last_modifier,
                &execution.author.operation_id,
                self.revision.0,
                execution.uid.0.as_bytes(),
            ),
        )?;
        if rows == 0 {
            return Err(no_such(execution.uid));
        }
        let before = self.index_labels(&labelled(execution), labels)?;
        let trace = self.changed(Subject::Execution(execution.uid));
        trace.relabelled(before);
        trace.steps.stopped |= last.wishes.cancel.is_none() && execution.wishes.cancel.is_some();
        if execution.wishes.delete.is_some() {
            trace.fate = Fate::Gone(Arc::new(Gone::Execution(last)));
            self.touch_job(execution.uid)?;
        }
        Ok(())
    }

    /// Deletes an execution: from now on no list and no name finds it. What runs is to be stopped, and then its rows
    /// are [reaped](Self::reap_execution).
    pub fn delete_execution(&mut self, uid: ExecutionUid) -> Result<Applied, StoreError> {
        let last = self.execution_without_spec(uid)?;
        let rows = self.execute(
            "UPDATE executions SET delete_wish = ?1, revision = ?2
             WHERE uid = ?3 AND delete_wish IS NULL",
            (micros(self.now), self.revision.0, uid.0.as_bytes()),
        )?;
        if rows == 0 {
            return Ok(Applied::Outdated);
        }
        let trace = self.changed(Subject::Execution(uid));
        if let Some(last) = last {
            trace.fate = Fate::Gone(Arc::new(Gone::Execution(last)));
        }
        self.touch_job(uid)?;
        Ok(Applied::Yes)
    }

    /// How far an execution is; raises its revision, and its job's at the steps that the job's status shows.
    pub fn set_execution_state(
        &mut self,
        uid: ExecutionUid,
        state: &ExecutionState,
    ) -> Result<(), StoreError> {
        let before = self.milestones(uid)?;
        self.write_state(uid, state)?;
        let completes =
            state.completed.is_some() && before.is_some_and(|(_, completed)| !completed);
        self.changed(Subject::Execution(uid)).steps.completed |= completes;
        if before != Some((state.started.is_some(), state.completed.is_some())) {
            self.touch_job(uid)?;
        }
        Ok(())
    }

    /// Has it started, is it complete?
    fn milestones(&self, uid: ExecutionUid) -> Result<Option<(bool, bool)>, StoreError> {
        let mut statement = self.conn.prepare_cached(
            "SELECT started IS NOT NULL, completed IS NOT NULL FROM executions WHERE uid = ?1",
        )?;
        let row = statement.query_one([uid.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(row.optional()?)
    }

    fn write_state(&mut self, uid: ExecutionUid, state: &ExecutionState) -> Result<(), StoreError> {
        let (outcome, failure_reason, failure_message) = outcome(state.completed.as_ref());
        let revision = self.revision.0;
        let rows = self.execute(
            "UPDATE executions SET accepted = :accepted, observed_generation = :observed_generation,
                images = :images, waiting_for = :waiting_for, provisioned = :provisioned,
                start_time = :start_time, started = :started, completed = :completed,
                outcome = :outcome, failure_reason = :failure_reason,
                failure_message = :failure_message, running = :running, succeeded = :succeeded,
                failed = :failed, cancelled = :cancelled, retried = :retried,
                revision = :revision
             WHERE uid = :uid",
            named_params! {
                ":uid": uid.0.as_bytes(),
                ":accepted": maybe_micros(state.accepted),
                ":observed_generation": state.observed_generation,
                ":images": images(&state.images)?,
                ":waiting_for": state.waiting_for,
                ":provisioned": maybe_micros(state.provisioned),
                ":start_time": maybe_micros(state.start_time),
                ":started": maybe_micros(state.started),
                ":completed": maybe_micros(state.completed.as_ref().map(|completed| completed.at)),
                ":outcome": outcome,
                ":failure_reason": failure_reason,
                ":failure_message": failure_message,
                ":running": state.counters.running,
                ":succeeded": state.counters.succeeded,
                ":failed": state.counters.failed,
                ":cancelled": state.counters.cancelled,
                ":retried": state.counters.retried,
                ":revision": revision,
            },
        )?;
        if rows == 0 { Err(no_such(uid)) } else { Ok(()) }
    }

    /// Removes rows of a deleted execution, at most `attempts` of its attempts: call it when nothing of it runs any
    /// more, again in a later write while it says `More`. Nobody is told: to clients it was gone already.
    pub fn reap_execution(
        &mut self,
        uid: ExecutionUid,
        attempts: u32,
    ) -> Result<Reaped, StoreError> {
        match self.deletion(uid)? {
            Deletion::Reaped => return Ok(Reaped::All),
            Deletion::Not => return Err(StoreError::NotDeleted { id: uid.to_string() }),
            Deletion::Wished => {}
        }
        let bytes = uid.0.as_bytes();
        let rows = self.execute(
            "DELETE FROM attempts WHERE execution = ?1 AND (task, attempt) IN
                (SELECT task, attempt FROM attempts WHERE execution = ?1 LIMIT ?2)",
            (bytes, attempts),
        )?;
        if rows >= attempts as usize {
            return Ok(Reaped::More);
        }
        self.execute("DELETE FROM specs WHERE owner = ?1", [bytes])?;
        self.execute("DELETE FROM labels WHERE owner = ?1", [bytes])?;
        self.execute("DELETE FROM executions WHERE uid = ?1", [bytes])?;
        Ok(Reaped::All)
    }

    fn deletion(&self, uid: ExecutionUid) -> Result<Deletion, StoreError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT delete_wish IS NOT NULL FROM executions WHERE uid = ?1")?;
        let row = statement.query_one([uid.0.as_bytes()], |row| row.get(0)).optional()?;
        Ok(match row {
            None => Deletion::Reaped,
            Some(false) => Deletion::Not,
            Some(true) => Deletion::Wished,
        })
    }

    /// Raises the revision of the job whose status shows this execution.
    fn touch_job(&mut self, latest: ExecutionUid) -> Result<(), StoreError> {
        let jobs = self.job_shown_with(latest)?;
        if let Some(job) = jobs {
            self.execute(
                "UPDATE jobs SET revision = ?1 WHERE uid = ?2",
                (self.revision.0, job.0.as_bytes()),
            )?;
            self.changed(Subject::Job(job));
        }
        Ok(())
    }
}

enum Deletion {
    Not,
    Wished,
    Reaped,
}

fn labelled(execution: &Execution) -> Labelled<'_> {
    Labelled {
        owner: execution.uid.0,
        kind: "execution",
        project: &execution.scope.project,
        created: micros(execution.created),
    }
}

fn no_such(uid: ExecutionUid) -> StoreError {
    StoreError::NoSuchRow { table: "executions", id: uid.to_string() }
}
