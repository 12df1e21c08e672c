//! Following one execution from its records and its attempts' logs, as it goes.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid},
    log::{LogLine, LogPosition},
    record::{Attempt, Execution},
};
use groundrun_host::HostLogs;
use groundrun_store::{Store, StoreError};

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

/// Remembers how far each log was read. Memory: one entry per attempt that runs, one id per attempt that ended.
pub(crate) struct Follow {
    store: Arc<Store>,
    logs: HostLogs,
    execution: ExecutionUid,
    positions: BTreeMap<AttemptId, LogPosition>,
    ended: HashSet<AttemptId>,
}

impl Follow {
    pub(crate) fn new(store: Arc<Store>, logs: HostLogs, execution: ExecutionUid) -> Self {
        Self { store, logs, execution, positions: BTreeMap::new(), ended: HashSet::new() }
    }

    /// Records first, logs after: an attempt that the records call ended has written all its lines.
    pub(crate) fn look(&mut self) -> Result<Option<Look>, StoreError> {
        let (execution, attempts) = self.store.read(|view| {
            let mut attempts = Vec::new();
            view.attempts(self.execution, 0..u32::MAX, |attempt| attempts.push(attempt))?;
            Ok::<_, StoreError>((view.execution_by_uid(self.execution)?, attempts))
        })?;
        let Some(execution) = execution else { return Ok(None) };
        let mut lines = Vec::new();
        let mut ended = Vec::new();
        for attempt in attempts {
            if self.ended.contains(&attempt.id)
                || (attempt.started.is_none() && attempt.ended.is_none())
            {
                continue;
            }
            let position = self.positions.entry(attempt.id).or_default();
            // A log that cannot be read shows nothing; the end of its attempt is told all the same.
            while let Ok((read, next)) = self.logs.read(attempt.id, *position, READ_AT_ONCE) {
                if read.is_empty() {
                    break;
                }
                lines.extend(read.into_iter().map(|line| (attempt.id, line)));
                *position = next;
            }
            if attempt.ended.is_some() {
                self.positions.remove(&attempt.id);
                self.ended.insert(attempt.id);
                ended.push(attempt);
            }
        }
        lines.sort_by_key(|(_, line)| line.at);
        Ok(Some(Look { execution, lines, ended }))
    }
}
