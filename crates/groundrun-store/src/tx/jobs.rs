//! Writing jobs.

use std::{collections::BTreeMap, sync::Arc};

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::{Job, Readiness},
};
use rusqlite::named_params;
use uuid::Uuid;

use super::{Applied, Tx};
use crate::{
    error::StoreError,
    rows::{job::readiness, maybe_micros, micros, to_json},
    watch::{Fate, Gone, Subject},
};

impl Tx<'_> {
    /// A new job; sets its revision. `labels` are those that selectors shall see, the server's own among them.
    ///
    /// Its name must be free (ask [`job`](crate::View::job) first). `DiskFull` while the disk is low.
    pub fn insert_job(
        &mut self,
        job: &mut Job,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.ask_for_room()?;
        job.revision = self.revision;
        job.written = self.revision;
        let (ready, ready_reason, ready_message) = readiness(&job.readiness.state);
        let latest = job.latest_execution.as_ref();
        self.execute(
            "INSERT INTO jobs (uid, project, region, name, generation, created, updated, revision,
                written, labels, annotations, creator, last_modifier, operation_id, execution_count,
                latest_uid, latest_name, latest_created,
                ready, ready_generation, ready_since, ready_reason, ready_message)
             VALUES (:uid, :project, :region, :name, :generation, :created, :updated, :revision,
                :revision, :labels, :annotations, :creator, :last_modifier, :operation_id, :execution_count,
                :latest_uid, :latest_name, :latest_created,
                :ready, :ready_generation, :ready_since, :ready_reason, :ready_message)",
            named_params! {
                ":uid": job.uid.0.as_bytes(),
                ":project": job.scope.project,
                ":region": job.scope.region,
                ":name": job.name,
                ":generation": job.generation,
                ":created": micros(job.created),
                ":updated": micros(job.updated),
                ":revision": job.revision.0,
                ":labels": to_json("labels", &job.labels)?,
                ":annotations": to_json("annotations", &job.annotations)?,
                ":creator": job.author.creator,
                ":last_modifier": job.author.last_modifier,
                ":operation_id": job.author.operation_id,
                ":execution_count": job.execution_count,
                ":latest_uid": latest.map(|latest| latest.uid.0.as_bytes()),
                ":latest_name": latest.map(|latest| &latest.name),
                ":latest_created": maybe_micros(latest.map(|latest| latest.created)),
                ":ready": ready,
                ":ready_generation": job.readiness.generation,
                ":ready_since": micros(job.readiness.since),
                ":ready_reason": ready_reason,
                ":ready_message": ready_message,
            },
        )?;
        self.write_spec(&job.uid.0, &to_json("the spec of a job", &*job.spec)?)?;
        self.index_labels(&Labelled::job(job), labels)?;
        self.changed(Subject::Job(job.uid)).fate = Fate::Made;
        Ok(())
    }

    /// What a client changed of a job, read in this same write; sets its revision. Name, scope, creation,
    /// `execution_count` and `latest_execution` stay as they are on disk. `DiskFull` while the disk is low.
    pub fn update_job(
        &mut self,
        job: &mut Job,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.ask_for_room()?;
        job.revision = self.revision;
        job.written = self.revision;
        let (ready, ready_reason, ready_message) = readiness(&job.readiness.state);
        let rows = self.execute(
            "UPDATE jobs SET generation = :generation, updated = :updated, revision = :revision,
                written = :revision, labels = :labels, annotations = :annotations, creator = :creator,
                last_modifier = :last_modifier, operation_id = :operation_id,
                ready = :ready, ready_generation = :ready_generation, ready_since = :ready_since,
                ready_reason = :ready_reason, ready_message = :ready_message
             WHERE uid = :uid",
            named_params! {
                ":uid": job.uid.0.as_bytes(),
                ":generation": job.generation,
                ":updated": micros(job.updated),
                ":revision": job.revision.0,
                ":labels": to_json("labels", &job.labels)?,
                ":annotations": to_json("annotations", &job.annotations)?,
                ":creator": job.author.creator,
                ":last_modifier": job.author.last_modifier,
                ":operation_id": job.author.operation_id,
                ":ready": ready,
                ":ready_generation": job.readiness.generation,
                ":ready_since": micros(job.readiness.since),
                ":ready_reason": ready_reason,
                ":ready_message": ready_message,
            },
        )?;
        if rows == 0 {
            return Err(StoreError::NoSuchRow { table: "jobs", id: job.uid.to_string() });
        }
        self.write_spec(&job.uid.0, &to_json("the spec of a job", &*job.spec)?)?;
        let before = self.index_labels(&Labelled::job(job), labels)?;
        self.changed(Subject::Job(job.uid)).relabelled(before);
        Ok(())
    }

    /// What came of a readiness check; written only if the job still has that generation.
    pub fn set_readiness(
        &mut self,
        job: JobUid,
        readiness: &Readiness,
    ) -> Result<Applied, StoreError> {
        let (ready, reason, message) = self::readiness(&readiness.state);
        let rows = self.execute(
            "UPDATE jobs SET ready = ?1, ready_generation = ?2, ready_since = ?3,
                ready_reason = ?4, ready_message = ?5, revision = ?6
             WHERE uid = ?7 AND generation = ?2",
            (
                ready,
                readiness.generation,
                micros(readiness.since),
                reason,
                message,
                self.revision.0,
                job.0.as_bytes(),
            ),
        )?;
        if rows == 0 {
            return Ok(Applied::Outdated);
        }
        self.changed(Subject::Job(job));
        Ok(Applied::Yes)
    }

    /// Removes a job and its policy, and deletes its executions ([`delete_execution`](Self::delete_execution)).
    pub fn delete_job(&mut self, job: JobUid) -> Result<Applied, StoreError> {
        let uid = job.0.as_bytes();
        let last = self.job_without_spec(job)?;
        if self.execute("DELETE FROM jobs WHERE uid = ?1", [uid])? == 0 {
            return Ok(Applied::Outdated);
        }
        self.execute("DELETE FROM specs WHERE owner = ?1", [uid])?;
        self.execute("DELETE FROM labels WHERE owner = ?1", [uid])?;
        self.execute("DELETE FROM policies WHERE job = ?1", [uid])?;
        let trace = self.changed(Subject::Job(job));
        if let Some(last) = last {
            trace.fate = Fate::Gone(Arc::new(Gone::Job(last)));
        }
        for execution in self.executions_of(job)? {
            // Already deleted ones are not among them.
            let _ = self.delete_execution(execution)?;
        }
        Ok(Applied::Yes)
    }

    fn executions_of(&self, job: JobUid) -> Result<Vec<ExecutionUid>, StoreError> {
        self.uids(
            "SELECT uid FROM executions WHERE job_uid = ?1 AND delete_wish IS NULL",
            [job.0.as_bytes()],
        )
    }

    /// The spec of a job or an execution. A job's that did not change is not written again.
    pub(super) fn write_spec(&mut self, owner: &Uuid, spec: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO specs (owner, spec) VALUES (?1, ?2)
             ON CONFLICT (owner) DO UPDATE SET spec = excluded.spec WHERE spec <> excluded.spec",
            (owner.as_bytes(), spec),
        )?;
        Ok(())
    }

    /// Replaces the labels that selectors see; gives those before, where they were others.
    pub(super) fn index_labels(
        &mut self,
        of: &Labelled<'_>,
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let owner = of.owner.as_bytes();
        let before = self.indexed_labels(of.owner)?;
        if before == *labels {
            return Ok(None);
        }
        self.execute("DELETE FROM labels WHERE owner = ?1", [owner])?;
        for (key, value) in labels {
            self.execute(
                "INSERT INTO labels (owner, key, value, kind, project, created)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                (owner, key, value, of.kind, of.project, of.created),
            )?;
        }
        Ok(Some(before))
    }
}

/// Whose labels.
pub(super) struct Labelled<'a> {
    pub(super) owner: Uuid,
    pub(super) kind: &'static str,
    pub(super) project: &'a str,
    pub(super) created: i64,
}

impl<'a> Labelled<'a> {
    fn job(job: &'a Job) -> Self {
        Self {
            owner: job.uid.0,
            kind: "job",
            project: &job.scope.project,
            created: micros(job.created),
        }
    }
}
