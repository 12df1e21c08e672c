//! The sentences that must hold of every commit. Counted here by other means than the core counts.

use std::collections::BTreeMap;

use groundrun_core::{
    allot::Urgency,
    id::{AttemptId, ExecutionUid},
    record::{
        Attempt, Cause, Completed, Counters, Ending, Execution, ExecutionState, Exit, Fault,
        ImagesState, Outcome, backoff,
    },
    template::TaskTemplate,
};
use groundrun_engine::journal::Commit;

use super::records::Records;

/// Of a commit that is about to be applied.
pub(super) fn before(records: &mut Records, commit: &Commit) {
    let mut faults = Vec::new();
    let mut begun = BTreeMap::new();
    for attempt in &commit.begun {
        faults.extend(unlawful_begin(records, commit, &mut begun, attempt));
    }
    faults.extend(hasty_begin(records, commit));
    for attempt in &commit.changed {
        faults.extend(unlawful_change(records, attempt));
    }
    for (uid, state) in &commit.states {
        let before = records.executions.get(uid).map(|execution| &execution.state);
        faults.extend(before.and_then(|before| unlawful_state(*uid, before, state)));
    }
    for uid in &commit.reaped {
        let live = records.attempts_of(*uid).any(|attempt| attempt.ended.is_none());
        let execution = records.executions.get(uid);
        if live || execution.is_some_and(|execution| execution.wishes.delete.is_none()) {
            faults.push(format!("{uid} is reaped while it lives"));
        }
    }
    records.faults.extend(faults);
}

/// Of the records with a commit applied.
pub(super) fn after(records: &mut Records, commit: &Commit) {
    let mut faults = Vec::new();
    for (uid, state) in &commit.states {
        let (Some(execution), Some(template)) =
            (records.executions.get(uid), records.templates.get(uid))
        else {
            continue;
        };
        let attempts: Vec<&Attempt> = records.attempts_of(*uid).collect();
        faults.extend(miscount(execution, template, &attempts));
        if let Some(completed) = &state.completed {
            faults.extend(wrong_outcome(execution, template, &attempts, completed));
        }
    }
    if !commit.begun.is_empty() {
        faults.extend(too_much_live(records));
    }
    records.faults.extend(faults);
}

pub(super) fn wishes_to_stop(execution: &Execution) -> bool {
    execution.wishes.cancel.is_some() || execution.wishes.delete.is_some()
}

/// Attempts begin once, in order, one after the other, as often as they may, and not against anybody's wish.
fn unlawful_begin(
    records: &Records,
    commit: &Commit,
    begun: &mut BTreeMap<ExecutionUid, u32>,
    attempt: &Attempt,
) -> Option<String> {
    let id @ AttemptId { execution: uid, task, attempt: number } = attempt.id;
    let Some(template) = records.templates.get(&uid) else {
        return Some(format!("{id} is of no execution"));
    };
    let changed = |id| commit.changed.iter().rfind(|attempt| attempt.id == id);
    let current = |id| changed(id).or_else(|| records.attempts.get(&id));
    let state = commit.states.iter().find(|(other, _)| *other == uid).map(|(_, state)| state);
    let state = state.or(records.executions.get(&uid).map(|execution| &execution.state))?;
    let say = |what: &str| Some(format!("{id} begins {what}"));
    if records.attempts.contains_key(&id) {
        return say("a second time");
    }
    if attempt.boot != records.boot || attempt.ended.is_some() || attempt.started.is_some() {
        return say("in another boot or at its end");
    }
    if records.barred.contains(&uid) {
        return say("after its execution was to stop");
    }
    if state.completed.is_some() {
        return say("in a completed execution");
    }
    if !matches!(state.images, ImagesState::Imported { .. }) {
        return say("without images");
    }
    if number > template.max_retries {
        return say("although it is out of retries");
    }
    if number == 0 {
        let first = records.attempts_of(uid).filter(|attempt| attempt.id.attempt == 0).count();
        let before = begun.entry(uid).or_insert(0);
        let expected = u32::try_from(first).ok()? + *before;
        *before += 1;
        return (task != expected).then(|| format!("{id} begins before task {expected}"));
    }
    let own_faults = |upto: u32| {
        let attempts = (0..upto).filter_map(|attempt| current(AttemptId { attempt, ..id }));
        let endings = attempts.filter_map(|attempt| attempt.ended.as_ref());
        endings
            .filter(|(_, ending)| matches!(ending, Ending::StartFailed { whose: Fault::Ours, .. }))
            .count()
    };
    match current(AttemptId { attempt: number - 1, ..id }).map(|attempt| &attempt.ended) {
        Some(Some((at, ending))) if !succeeded(ending) => {
            let ours = matches!(ending, Ending::StartFailed { whose: Fault::Ours, .. });
            let faults = u32::try_from(own_faults(number - 1)).ok()?;
            (ours && attempt.intended < *at + backoff(faults))
                .then(|| format!("{id} begins before its back-off is over"))
        }
        _ => say("before the attempt before it has failed"),
    }
}

/// A delayed execution begins only when every regular one has what it wants. Tasks that wait for a retry are left out:
/// whether their back-off is over is counted elsewhere.
fn hasty_begin(records: &Records, commit: &Commit) -> Option<String> {
    let delayed = |uid: &ExecutionUid| {
        let urgency = records.templates.get(uid).map(|template| template.urgency);
        urgency == Some(Urgency::Delayed) && records.attempts_of(*uid).next().is_none()
    };
    let hasty = commit.begun.iter().map(|attempt| attempt.id.execution).find(delayed)?;
    let waits = |(uid, execution): (&ExecutionUid, &Execution)| {
        let template = &records.templates[uid];
        let limits = template.limits;
        let fits = limits.memory_bytes <= records.budget.memory_bytes
            && limits.cpu_millis <= records.budget.cpu_millis;
        let able = matches!(execution.state.images, ImagesState::Imported { .. })
            && execution.state.completed.is_none()
            && !records.barred.contains(uid)
            && !wishes_to_stop(execution);
        let begun = commit.begun.iter().filter(|attempt| attempt.id.execution == *uid);
        let ended = |id| commit.changed.iter().any(|one| one.id == id && one.ended.is_some());
        let live = records.attempts_of(*uid).filter(|one| one.ended.is_none() && !ended(one.id));
        let live = live.count() + begun.clone().count();
        let firsts = records.attempts_of(*uid).chain(begun).filter(|one| one.id.attempt == 0);
        template.urgency == Urgency::Regular
            && fits
            && able
            && live < template.parallelism as usize
            && firsts.count() < template.count as usize
    };
    let (before, _) = records.executions.iter().find(|each| waits(*each))?;
    Some(format!("{hasty} is delayed and begins before {before}"))
}

/// What was said of an attempt stays said.
fn unlawful_change(records: &Records, attempt: &Attempt) -> Option<String> {
    let id = attempt.id;
    let Some(before) = records.attempts.get(&id) else {
        return Some(format!("{id} changes without having been intended"));
    };
    let same = before.boot == attempt.boot && before.intended == attempt.intended;
    let started = before.started.is_none() || before.started == attempt.started;
    let ended = before.ended.is_none() || before.ended == attempt.ended;
    (!same || !started || !ended).then(|| format!("{id} is rewritten"))
}

/// What is terminal stays, and what is known is not unlearned.
fn unlawful_state(
    uid: ExecutionUid,
    before: &ExecutionState,
    after: &ExecutionState,
) -> Option<String> {
    let say = |what: &str| Some(format!("{uid} {what}"));
    if before.completed.is_some() {
        let late =
            ExecutionState { observed_generation: after.observed_generation, ..before.clone() };
        if late != *after {
            return say("changes after it completed");
        }
    }
    if matches!(before.images, ImagesState::Imported { .. }) && before.images != after.images {
        return say("changes its images");
    }
    let times = |state: &ExecutionState| {
        [state.accepted, state.provisioned, state.start_time, state.started]
    };
    let unlearned = |(before, after)| Option::is_some(&before) && before != after;
    if times(before).into_iter().zip(times(after)).any(unlearned) {
        return say("changes a time that was told");
    }
    None
}

/// Never more live than parallelism allows, nor than the machine gives.
fn too_much_live(records: &Records) -> Option<String> {
    let mut live: BTreeMap<ExecutionUid, u32> = BTreeMap::new();
    for attempt in records.attempts.values().filter(|attempt| attempt.ended.is_none()) {
        *live.entry(attempt.id.execution).or_default() += 1;
    }
    let (mut memory, mut cpu) = (0, 0);
    for (uid, live) in live {
        let template = &records.templates[&uid];
        if live > template.parallelism {
            return Some(format!("{uid} has {live} live of {}", template.parallelism));
        }
        memory += template.limits.memory_bytes * u64::from(live);
        cpu += template.limits.cpu_millis * u64::from(live);
    }
    let over = memory > records.budget.memory_bytes || cpu > records.budget.cpu_millis;
    over.then(|| format!("{memory} bytes and {cpu} mCPU are given away"))
}

fn miscount(
    execution: &Execution,
    template: &TaskTemplate,
    attempts: &[&Attempt],
) -> Option<String> {
    let counted = recount(execution, template, attempts);
    let told = execution.state.counters;
    let expected = match execution.state.completed {
        Some(_) => counted,
        // How many a cancel has stopped so far depends on when it was heard of.
        None => Counters { cancelled: told.cancelled, ..counted },
    };
    (told != expected).then(|| format!("{} counts {told:?}, but {expected:?} are", execution.uid))
}

/// From the attempts alone.
fn recount(execution: &Execution, template: &TaskTemplate, attempts: &[&Attempt]) -> Counters {
    let mut counters = Counters::default();
    for task in attempts.chunk_by(|a, b| a.id.task == b.id.task) {
        let Some(last) = task.last() else { continue };
        counters.retried += u32::from(last.id.attempt > 0);
        match &last.ended {
            None => counters.running += u32::from(last.started.is_some()),
            Some((_, ending)) if succeeded(ending) => counters.succeeded += 1,
            Some((_, Ending::Exited { cause: Cause::Asked, .. })) if wishes_to_stop(execution) => {}
            Some(_) => counters.failed += u32::from(last.id.attempt >= template.max_retries),
        }
    }
    let completed = execution.state.completed.as_ref();
    if completed.is_some_and(|completed| completed.outcome == Outcome::Cancelled) {
        counters.cancelled = template.count - counters.succeeded - counters.failed;
    }
    counters
}

fn succeeded(ending: &Ending) -> bool {
    matches!(ending, Ending::Exited { exit: Exit::Code(0), cause: Cause::OnItsOwn, .. })
}

/// It came out as its tasks did.
fn wrong_outcome(
    execution: &Execution,
    template: &TaskTemplate,
    attempts: &[&Attempt],
    completed: &Completed,
) -> Option<String> {
    let uid = execution.uid;
    if attempts.iter().any(|attempt| attempt.ended.is_none()) {
        return Some(format!("{uid} completes while something of it is live"));
    }
    let Counters { succeeded, failed, .. } = recount(execution, template, attempts);
    let all = succeeded + failed == template.count;
    let right = match &completed.outcome {
        Outcome::Succeeded => succeeded == template.count,
        Outcome::Cancelled => wishes_to_stop(execution),
        Outcome::Failed(_) if attempts.is_empty() => true,
        Outcome::Failed(failure) => {
            let last = attempts.chunk_by(|a, b| a.id.task == b.id.task).filter_map(<[_]>::last);
            let mut failed_tasks = last.filter(|attempt| {
                attempt.ended.as_ref().is_some_and(|(_, ending)| !self::succeeded(ending))
            });
            let first = failed_tasks.next().map(|attempt| attempt.id.task);
            let named = first.map(|task| format!("Task {}-task{task} failed", execution.name));
            all && named.is_some_and(|named| failure.message.starts_with(&named))
        }
    };
    (!right).then(|| format!("{uid} comes out as {:?}", completed.outcome))
}
