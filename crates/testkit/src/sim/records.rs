//! The records in memory. They outlive the brain, can be full or unreadable for a while, and check what is written.

use std::{
    cell::{Ref, RefCell, RefMut},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use groundrun_core::{
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    port::Limits,
    record::{Attempt, Execution, Job},
    template::TaskTemplate,
};
use groundrun_engine::{
    brain::Changes,
    journal::{Commit, Committed, Journal, OpenEnds},
};
use jiff::Timestamp;

use super::{check, clients::Sent};

/// Attempts removed in one commit: small, so that removal takes several.
const REAPED_AT_ONCE: usize = 3;

#[derive(Debug)]
pub(super) struct Records {
    pub(super) executions: BTreeMap<ExecutionUid, Execution>,
    pub(super) templates: BTreeMap<ExecutionUid, TaskTemplate>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    pub(super) jobs: BTreeMap<JobUid, Job>,
    pub(super) boot: BootId,
    pub(super) budget: Limits,
    pub(super) full_until: Timestamp,
    pub(super) unreadable_until: Timestamp,
    pub(super) now: Timestamp,
    /// Executions whose wish to stop the brain has read.
    pub(super) wish_read: BTreeSet<ExecutionUid>,
    /// The same at the time when it last decided: nothing of them may begin.
    pub(super) barred: BTreeSet<ExecutionUid>,
    /// How many executions completed.
    pub(super) completed: u64,
    /// A commit has failed and was not made since.
    pub(super) stuck: bool,
    /// The token of the job, whose execution is its latest.
    pub(super) current: Option<Sent>,
    /// What does not hold.
    pub(super) faults: Vec<String>,
    changed_executions: BTreeSet<ExecutionUid>,
    changed_jobs: BTreeSet<JobUid>,
}

impl Records {
    pub(super) fn new(boot: BootId, budget: Limits) -> Self {
        Self {
            executions: BTreeMap::new(),
            templates: BTreeMap::new(),
            attempts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            boot,
            budget,
            full_until: Timestamp::UNIX_EPOCH,
            unreadable_until: Timestamp::UNIX_EPOCH,
            now: Timestamp::UNIX_EPOCH,
            wish_read: BTreeSet::new(),
            barred: BTreeSet::new(),
            completed: 0,
            stuck: false,
            current: None,
            faults: Vec::new(),
            changed_executions: BTreeSet::new(),
            changed_jobs: BTreeSet::new(),
        }
    }

    pub(super) fn insert(&mut self, execution: Execution) {
        let template = TaskTemplate::of(&execution).expect("samples are complete");
        self.templates.insert(execution.uid, template);
        self.changed_executions.insert(execution.uid);
        self.executions.insert(execution.uid, execution);
    }

    /// A client's change of an execution.
    pub(super) fn wish(&mut self, uid: ExecutionUid, wish: impl FnOnce(&mut Execution)) {
        if let Some(execution) = self.executions.get_mut(&uid) {
            wish(execution);
            self.changed_executions.insert(uid);
        }
    }

    pub(super) fn put_job(&mut self, job: Job) {
        self.changed_jobs.insert(job.uid);
        self.jobs.insert(job.uid, job);
    }

    pub(super) fn has_changes(&self) -> bool {
        !self.changed_executions.is_empty() || !self.changed_jobs.is_empty()
    }

    pub(super) fn take_changes(&mut self) -> Changes {
        Changes::Of {
            executions: std::mem::take(&mut self.changed_executions),
            jobs: std::mem::take(&mut self.changed_jobs),
        }
    }

    pub(super) fn attempts_of(&self, uid: ExecutionUid) -> impl Iterator<Item = &Attempt> {
        let id = |task, attempt| AttemptId { execution: uid, task, attempt };
        self.attempts.range(id(0, 0)..=id(u32::MAX, u32::MAX)).map(|(_, attempt)| attempt)
    }

    fn apply(&mut self, commit: &Commit) -> Committed {
        for attempt in commit.begun.iter().chain(&commit.changed) {
            self.attempts.insert(attempt.id, attempt.clone());
            self.changed_executions.insert(attempt.id.execution);
        }
        for (uid, state) in &commit.states {
            if let Some(execution) = self.executions.get_mut(uid) {
                let before = execution.state.completed.is_some();
                self.completed += u64::from(!before && state.completed.is_some());
                execution.state = state.clone();
                if state.completed.is_some() {
                    execution.state.observed_generation = execution.generation;
                }
            }
            self.changed_executions.insert(*uid);
        }
        for (uid, readiness) in &commit.readiness {
            if let Some(job) = self.jobs.get_mut(uid)
                && job.generation == readiness.generation
            {
                job.readiness = readiness.clone();
                self.changed_jobs.insert(*uid);
            }
        }
        for uid in &commit.deleted {
            let now = self.now;
            self.wish(*uid, |execution| execution.wishes.delete = Some(now));
        }
        let unreaped = commit.reaped.iter().filter(|uid| !self.reap(**uid)).copied().collect();
        Committed { unreaped }
    }

    /// Removes some; says whether nothing is left.
    fn reap(&mut self, uid: ExecutionUid) -> bool {
        let ids: Vec<AttemptId> =
            self.attempts_of(uid).take(REAPED_AT_ONCE).map(|attempt| attempt.id).collect();
        for id in &ids {
            self.attempts.remove(id);
        }
        let over = ids.len() < REAPED_AT_ONCE;
        if over {
            self.executions.remove(&uid);
        }
        over
    }
}

/// The brain's way to the records.
#[derive(Clone, Debug)]
pub(super) struct Memory(Rc<RefCell<Records>>);

impl Memory {
    pub(super) fn new(records: Records) -> Self {
        Self(Rc::new(RefCell::new(records)))
    }

    pub(super) fn get(&self) -> Ref<'_, Records> {
        self.0.borrow()
    }

    pub(super) fn get_mut(&self) -> RefMut<'_, Records> {
        self.0.borrow_mut()
    }

    fn read(&self) -> Result<RefMut<'_, Records>, Unavailable> {
        let records = self.0.borrow_mut();
        if records.now < records.unreadable_until { Err(Unavailable) } else { Ok(records) }
    }
}

/// The disk is full, or what was read makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unavailable;

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the records are not available")
    }
}

impl std::error::Error for Unavailable {}

impl Journal for Memory {
    type Error = Unavailable;

    fn commit(&mut self, now: Timestamp, commit: Arc<Commit>) -> Result<Committed, Unavailable> {
        let mut records = self.0.borrow_mut();
        records.stuck = now < records.full_until;
        if records.stuck {
            return Err(Unavailable);
        }
        check::before(&mut records, &commit);
        let committed = records.apply(&commit);
        check::after(&mut records, &commit);
        Ok(committed)
    }

    fn open_ends(&mut self) -> Result<OpenEnds, Unavailable> {
        let records = self.read()?;
        let open = |execution: &&Execution| {
            execution.state.completed.is_none() || execution.wishes.delete.is_some()
        };
        Ok(OpenEnds {
            executions: records.executions.values().filter(open).map(|each| each.uid).collect(),
            jobs: records.jobs.keys().copied().collect(),
        })
    }

    fn execution(&mut self, uid: ExecutionUid) -> Result<Option<Execution>, Unavailable> {
        let mut records = self.read()?;
        let execution = records.executions.get(&uid).cloned();
        if execution.as_ref().is_some_and(check::wishes_to_stop) {
            records.wish_read.insert(uid);
        }
        Ok(execution)
    }

    fn attempts(&mut self, uid: ExecutionUid) -> Result<Vec<Attempt>, Unavailable> {
        Ok(self.read()?.attempts_of(uid).cloned().collect())
    }

    fn job(&mut self, uid: JobUid) -> Result<Option<Job>, Unavailable> {
        Ok(self.read()?.jobs.get(&uid).cloned())
    }

    fn beyond_retention(
        &mut self,
        job: JobUid,
        keep: u32,
        limit: u32,
    ) -> Result<Vec<ExecutionUid>, Unavailable> {
        let records = self.read()?;
        let completed = |execution: &&Execution| {
            execution.job.uid == job
                && execution.state.completed.is_some()
                && execution.wishes.delete.is_none()
        };
        let mut uids: Vec<(Timestamp, ExecutionUid)> = records
            .executions
            .values()
            .filter(completed)
            .filter_map(|one| Some((one.state.completed.as_ref()?.at, one.uid)))
            .collect();
        uids.sort_unstable();
        let excess = uids.len().saturating_sub(keep as usize).min(limit as usize);
        Ok(uids[..excess].iter().map(|(_, uid)| *uid).collect())
    }
}
