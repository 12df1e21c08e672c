//! Following one execution from its records and its attempts' logs, as it goes.
//!
//! `run` is the server: it looks where the server looks, since how each attempt ended is in no answer of the API. What did
//! not change is not looked at: the journal says which tasks did, the kernel which logs.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    log::{LogLine, LogPosition},
    record::{Attempt, Execution, Revision},
};
use groundrun_host::{HostLogs, Listening};
use groundrun_store::{Store, StoreError, Subject};

/// Lines of one log read at once.
const READ_AT_ONCE: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not zero");

/// What is new since the last look.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) execution: Execution,
    /// In order of time.
    pub(crate) lines: Vec<(AttemptId, LogLine)>,
    /// Attempts that ended, their lines all given.
    pub(crate) ended: Vec<Attempt>,
}

/// What is called when a log may have grown.
type Grown = Arc<dyn Fn() + Send + Sync>;

/// Remembers how far each log was read. Memory: one entry per attempt that runs, one id per attempt that ended.
pub(crate) struct Follow {
    store: Arc<Store>,
    logs: HostLogs,
    execution: ExecutionUid,
    /// Changes up to it were looked at; none were yet.
    seen: Option<Revision>,
    running: BTreeMap<AttemptId, Reading>,
    ended: HashSet<AttemptId>,
    grown: Arc<Mutex<BTreeSet<AttemptId>>>,
    bell: Grown,
}

#[derive(Default)]
struct Reading {
    position: LogPosition,
    listening: Option<Listening>,
}

impl Follow {
    /// `bell` is called when a log has grown; changes of records are for the store's own watch.
    pub(crate) fn new(
        store: Arc<Store>,
        logs: HostLogs,
        execution: ExecutionUid,
        bell: Grown,
    ) -> Self {
        Self {
            store,
            logs,
            execution,
            seen: None,
            running: BTreeMap::new(),
            ended: HashSet::new(),
            grown: Arc::default(),
            bell,
        }
    }

    /// Is there a log that nobody will say has grown?
    pub(crate) fn must_look(&self) -> bool {
        self.running.values().any(|reading| reading.listening.is_none())
    }

    /// Records first, logs after: an attempt that the records call ended has written all its lines.
    pub(crate) fn look(&mut self) -> Result<Option<Look>, StoreError> {
        let Some((execution, attempts)) = self.records()? else { return Ok(None) };
        let mut over = BTreeMap::new();
        for attempt in attempts {
            if self.ended.contains(&attempt.id)
                || (attempt.started.is_none() && attempt.ended.is_none())
            {
                continue;
            }
            self.grown().insert(attempt.id);
            if attempt.ended.is_some() {
                over.insert(attempt.id, attempt);
            } else {
                self.listen(attempt.id);
            }
        }
        let mut grown = std::mem::take(&mut *self.grown());
        let unheard = self.running.iter().filter(|(_, reading)| reading.listening.is_none());
        grown.extend(unheard.map(|(id, _)| *id));
        let mut lines = Vec::new();
        let mut ended = Vec::new();
        for id in grown {
            if self.ended.contains(&id) {
                continue;
            }
            let reading = self.running.entry(id).or_default();
            // A log that cannot be read shows nothing; the end of its attempt is told all the same.
            while let Ok((read, next)) = self.logs.read(id, reading.position, READ_AT_ONCE) {
                if read.is_empty() {
                    break;
                }
                lines.extend(read.into_iter().map(|line| (id, line)));
                reading.position = next;
            }
            if let Some(attempt) = over.remove(&id) {
                self.running.remove(&id);
                self.ended.insert(id);
                ended.push(attempt);
            }
        }
        lines.sort_by_key(|(_, line)| line.at);
        Ok(Some(Look { execution, lines, ended }))
    }

    /// The execution, and the attempts of tasks that changed since the last time: at first all.
    fn records(&mut self) -> Result<Option<(Execution, Vec<Attempt>)>, StoreError> {
        let mut tasks = BTreeSet::new();
        let recalled = self.seen.map(|seen| {
            self.store.recall(seen, None, |changed| {
                if changed.subject == Subject::Execution(self.execution) {
                    tasks.extend(changed.trace.tasks.keys().copied());
                }
            })
        });
        let (execution, attempts, now) = self.store.read(|view| {
            let mut attempts = Vec::new();
            match &recalled {
                Some(Ok(_)) => {
                    for task in &tasks {
                        attempts.extend(view.attempts_of_task(self.execution, *task)?);
                    }
                }
                // The first look, or more happened than is kept.
                None | Some(Err(_)) => {
                    view.attempts(self.execution, 0..u32::MAX, |attempt| attempts.push(attempt))?;
                }
            }
            let now = view.revision()?;
            Ok::<_, StoreError>((view.execution_by_uid(self.execution)?, attempts, now))
        })?;
        self.seen = match recalled {
            Some(Ok(told)) => Some(told),
            None | Some(Err(_)) => Some(now),
        };
        Ok(execution.map(|execution| (execution, attempts)))
    }

    fn listen(&mut self, id: AttemptId) {
        let (grown, bell) = (Arc::clone(&self.grown), Arc::clone(&self.bell));
        let reading = self.running.entry(id).or_default();
        if reading.listening.is_none() {
            let call = Arc::new(move || {
                grown.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                bell();
            });
            reading.listening = self.logs.listen(id, call).ok();
        }
    }

    fn grown(&self) -> std::sync::MutexGuard<'_, BTreeSet<AttemptId>> {
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
