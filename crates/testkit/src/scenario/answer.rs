//! Puts the answers into words.

use groundrun_core::{
    plan::{Plan, Then},
    port::{Action, EnvValue, ImageRequest},
    record::{Attempt, Counters, ExecutionState, ImagesState, Outcome},
};
use jiff::Timestamp;

/// A plan: its reasons, what is written, what is done, and when it goes on by itself.
pub(super) fn plan(plan: &Plan, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    let why: Vec<String> = plan.why.iter().map(ToString::to_string).collect();
    if !why.is_empty() {
        lines.push(format!("because {}", why.join(", ")));
    }
    lines.extend(plan.changed.iter().chain(&plan.begun).map(attempt));
    if let Some(state) = &plan.state {
        lines.push(format!("write state: {}", counters(state.counters)));
    }
    lines.extend(plan.actions.iter().map(action));
    lines.extend(plan.images.iter().map(image));
    if let Some(at) = plan.wake_at {
        lines.push(format!("wake in {} s", at.duration_since(now).as_secs()));
    }
    match plan.then {
        Then::Keep => {}
        Then::Finished => lines.push("forget the run".to_owned()),
        Then::Reap => lines.push("reap the rows".to_owned()),
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

/// What the record says.
pub(super) fn state(state: &ExecutionState) -> Vec<String> {
    let seconds = |at: Option<Timestamp>| {
        at.map_or_else(|| "no".to_owned(), |at| format!("at {} s", at.as_second()))
    };
    let mut lines = vec![
        format!("accepted {}, generation {}", seconds(state.accepted), state.observed_generation),
        match &state.images {
            ImagesState::Importing => "images: importing".to_owned(),
            ImagesState::Retrying { failures, next, message } => {
                format!("images: {failures} failed, again at {} s: {message}", next.as_second())
            }
            ImagesState::Imported { at, digests, stale } => {
                let stale = stale.as_ref().map(|why| format!(", stale: {why}")).unwrap_or_default();
                format!("images: {} at {} s{stale}", digests.join(" "), at.as_second())
            }
        },
        format!("provisioned {}", seconds(state.provisioned)),
        format!("startTime {}, started {}", seconds(state.start_time), seconds(state.started)),
        format!("counters: {}", counters(state.counters)),
    ];
    if let Some(why) = &state.waiting_for {
        lines.push(format!("waits for {why}"));
    }
    if let Some(completed) = &state.completed {
        let at = completed.at.as_second();
        lines.push(match &completed.outcome {
            Outcome::Succeeded => format!("succeeded at {at} s"),
            Outcome::Cancelled => format!("cancelled at {at} s"),
            Outcome::Failed(failure) => {
                format!("failed at {at} s, {:?}: {}", failure.reason, failure.message)
            }
        });
    }
    lines
}

/// What a start gets.
pub(super) fn spec(start: &Action) -> Vec<String> {
    let Action::Start(spec) = start else { unreachable!("only starts are kept: {start:?}") };
    let mut lines = vec![format!(
        "{} on {}, {:?} + {:?}",
        name(spec.id),
        spec.hostname,
        spec.timeout,
        spec.grace
    )];
    for container in &spec.containers {
        lines.push(format!("{} {} {:?}", container.name, container.image, container.limits));
        lines.extend(container.env.iter().map(|(name, value)| match value {
            EnvValue::Literal(value) => format!("{name}={value}"),
            EnvValue::Secret(version) => format!("{name} from {version}"),
            EnvValue::OptionalSecret(version) => format!("{name} from {version} if it is there"),
        }));
    }
    lines
}

fn attempt(attempt: &Attempt) -> String {
    let what = match (&attempt.ended, attempt.started) {
        (Some((_, ending)), _) => format!("{ending:?}"),
        (None, Some(_)) => "started".to_owned(),
        (None, None) => "intended".to_owned(),
    };
    format!("write {}: {what}", name(attempt.id))
}

fn action(action: &Action) -> String {
    match action {
        Action::Start(spec) => format!("start {}", name(spec.id)),
        Action::Adopt(id) => format!("adopt {}", name(*id)),
        Action::Stop { id, grace } => format!("stop {} in {grace:?}", name(*id)),
        Action::Forget(id) => format!("forget {}", name(*id)),
        Action::Discard(_) => "discard".to_owned(),
    }
}

fn image(request: &ImageRequest) -> String {
    match request {
        ImageRequest::Check { images, .. } => format!("check {}", images.join(" ")),
        ImageRequest::Import { images, .. } => format!("import {}", images.join(" ")),
        ImageRequest::Release(_) => "release the images".to_owned(),
    }
}

fn name(id: groundrun_core::id::AttemptId) -> String {
    format!("{}-{}", id.task, id.attempt)
}

fn counters(counters: Counters) -> String {
    let Counters { running, succeeded, failed, cancelled, retried } = counters;
    format!(
        "{running} running, {succeeded} succeeded, {failed} failed, {cancelled} cancelled, {retried} retried"
    )
}
