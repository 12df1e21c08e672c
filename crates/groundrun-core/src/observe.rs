//! Takes in what was seen. News that is old, repeated or contradicts what is known changes nothing.

use jiff::Timestamp;

use crate::{
    id::AttemptId,
    mutant,
    outcome::{self, Retries, Settled, Wish},
    port::{ImageFault, ImageFaultKind, ImportedImage, News, Observation},
    progress::{Import, Run, Stop},
    record::{Cause, Ending, Exit, Failure, Fault, ImagesState, backoff},
};

/// Failed imports in a row of a registry that does not answer. With 1, 2, 4 … 60 s between them that is four minutes:
/// longer than a restart of a registry or of a network, short enough to be told while somebody still watches.
pub const IMPORTS_FAILED_MAX: u32 = 10;

/// What came of a piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// It is news: `plan` has something to write.
    News,
    /// It was known, or is overtaken, or contradicts what was said first. Nothing changed.
    Known,
    /// It is about an attempt that was never intended here. Nothing changed.
    Stranger,
}

/// Takes in `news`, which must be about this execution.
pub fn observe(run: &mut Run, news: News, now: Timestamp) -> Heard {
    match news {
        News::Attempt { id, seen } => run.hear_attempt(id, seen),
        News::Imported { result, .. } => run.hear_import(result, now),
        News::Checked { .. } => Heard::Stranger,
    }
}

impl Run {
    fn hear_attempt(&mut self, id: AttemptId, seen: Observation) -> Heard {
        self.visits += 1;
        let live = self.live.get(&id.task).map(|live| live.id.attempt);
        match live {
            Some(attempt) if attempt == id.attempt || mutant!("old_attempts_believed") => {
                match seen {
                    Observation::Started { at } => self.hear_started(id.task, at),
                    Observation::Ended { at, ending } => self.hear_ended(id.task, at, ending),
                }
            }
            Some(attempt) if id.attempt < attempt => Heard::Known,
            None if id.task < self.next_index => Heard::Known,
            _ => Heard::Stranger,
        }
    }

    fn hear_started(&mut self, task: u32, at: Timestamp) -> Heard {
        let attempt = self.live.get_mut(&task).expect("the caller found it");
        if attempt.started.is_some() && !mutant!("repeated_start_counts") {
            return Heard::Known;
        }
        attempt.started = Some(at);
        self.unwritten.insert(attempt.id, attempt.clone());
        self.execution.state.counters.running += 1;
        self.execution.state.started.get_or_insert(at);
        Heard::News
    }

    pub(crate) fn hear_ended(&mut self, task: u32, at: Timestamp, ending: Ending) -> Heard {
        let mut attempt = self.live.remove(&task).expect("the caller found it");
        self.unasked.remove(&task);
        if attempt.started.is_some() && !mutant!("running_never_falls") {
            self.execution.state.counters.running -= 1;
        }
        if matches!(ending, Ending::Exited { .. } | Ending::ProbeFailed { .. }) {
            // Where the news of the start was lost: it ran, and it was begun as soon as it was intended.
            let started = *attempt.started.get_or_insert(attempt.intended);
            self.execution.state.started.get_or_insert(started);
        }
        let ending = match (ending, self.stop) {
            // What was told to stop and is gone was stopped, whatever the backend can say of how.
            (Ending::StartFailed { .. } | Ending::Lost { .. }, Stop::Asked) => Ending::Exited {
                exit: Exit::Signal(9),
                cause: Cause::Asked,
                memory_peak: None,
                message: None,
                container: None,
            },
            (ending, _) => ending,
        };
        self.count(attempt.id, at, &ending);
        self.over.push(attempt.id);
        attempt.ended = Some((at, ending));
        self.unwritten.insert(attempt.id, attempt);
        Heard::News
    }

    /// Counts a task whose attempt ended, or queues its retry.
    pub(crate) fn count(&mut self, id: AttemptId, at: Timestamp, ending: &Ending) {
        let AttemptId { task, attempt, .. } = id;
        let max_retries = self.template.max_retries + u32::from(mutant!("one_retry_too_many"));
        let wish = if mutant!("cancelled_tasks_retry") { Wish::GoOn } else { self.wish() };
        let settled = outcome::settled(ending, Retries::after(attempt, max_retries), wish);
        let counters = &mut self.execution.state.counters;
        match settled {
            Settled::Succeeded => counters.succeeded += 1,
            Settled::Cancelled => counters.cancelled += 1,
            Settled::Failed => {
                counters.failed += 1;
                let earlier = self.first_failure.as_ref().is_some_and(|(first, _)| *first < task);
                if !earlier || mutant!("last_failure_is_named") {
                    let failure = outcome::task_failure(&self.execution.name, task, ending);
                    self.first_failure = Some((task, failure));
                }
            }
            Settled::Retry => return self.queue_retry(task, attempt + 1, at, ending),
        }
        self.own_faults.remove(&task);
    }

    fn queue_retry(&mut self, task: u32, attempt: u32, ended: Timestamp, ending: &Ending) {
        let attempt = if mutant!("retry_reuses_its_number") { attempt - 1 } else { attempt };
        if !matches!(ending, Ending::StartFailed { whose: Fault::Ours, .. }) {
            self.ready.insert(task, attempt);
            return;
        }
        let faults = self.own_faults.entry(task).or_default();
        let not_before = ended.saturating_add(backoff(*faults)).unwrap_or(Timestamp::MAX);
        *faults += 1;
        self.later.insert((not_before, task, attempt));
    }

    fn hear_import(
        &mut self,
        result: Result<Vec<ImportedImage>, ImageFault>,
        now: Timestamp,
    ) -> Heard {
        if self.import != Import::Asked || self.has_images() || self.over_and_done() {
            return Heard::Known;
        }
        self.import = Import::Answered;
        match result {
            Ok(images) => self.hear_imported(images, now),
            Err(fault) => self.hear_import_failed(&fault, now),
        }
        Heard::News
    }

    fn hear_imported(&mut self, images: Vec<ImportedImage>, at: Timestamp) {
        let (asked, got) = (self.template.images().len(), images.len());
        if asked != got {
            let message = format!("The import of {asked} images brought {got}.");
            self.doomed = Some(Failure { reason: None, message });
            return;
        }
        let stale = images.iter().find_map(|image| image.stale.clone());
        let digests = images.into_iter().map(|image| image.digest).collect();
        self.execution.state.images = ImagesState::Imported { at, digests, stale };
    }

    fn hear_import_failed(&mut self, fault: &ImageFault, now: Timestamp) {
        let before = match self.execution.state.images {
            ImagesState::Retrying { failures, .. } => failures,
            ImagesState::Importing | ImagesState::Imported { .. } => 0,
        };
        let failures = before + 1;
        let again = fault.kind == ImageFaultKind::Unreachable
            && (failures < IMPORTS_FAILED_MAX || mutant!("import_tried_for_ever"));
        if !again {
            self.doomed = Some(outcome::image_failure(fault));
            return;
        }
        let next = now.saturating_add(backoff(before)).unwrap_or(Timestamp::MAX);
        let message = fault.message.clone();
        self.import = Import::NotAsked;
        self.execution.state.images = ImagesState::Retrying { failures, next, message };
    }
}
