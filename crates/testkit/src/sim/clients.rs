//! Clients that write the job: with a new token, with the same again, with one of the past, without one; and what the job
//! must show after each. What it must show is counted here from what was asked, not by the core's own rules.

use groundrun_api::v1;
use groundrun_core::{
    admit::{self, AdmittedRun, Replacement},
    context::Context,
    id::JobUid,
    record::{Completed, Execution, Job, LatestExecution, Outcome, Readiness, ReadinessState},
    render,
    token::{self, Until},
};
use uuid::Uuid;

use super::{
    records::Records,
    world::{Event, World, uid},
};
use crate::sample::{self, Shape};

/// The job of every world.
pub(super) const JOB: JobUid = JobUid(Uuid::nil());

/// Few, so that one of the past comes again.
const TOKENS: [&str; 3] = ["a", "b", "c"];

/// What a client sends in the place of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    token: Wanted,
    /// Tasks that its template has from there on; the same ones where absent.
    tasks: Option<i32>,
}

/// The token of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// What GET shows, sent back.
    AsShown,
    Nothing,
    Token(Sent),
}

/// A token as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    text: &'static str,
    until: Until,
}

impl World {
    pub(super) fn letter(&mut self) -> Letter {
        let text = self.random.pick(&TOKENS).unwrap_or("a");
        let until = if self.random.per_mille(500) { Until::Started } else { Until::Succeeded };
        let token = match self.random.below(6) {
            0 => Wanted::Nothing,
            1 => Wanted::AsShown,
            _ => Wanted::Token(Sent { text, until }),
        };
        let more = self.random.per_mille(300);
        let tasks = more.then(|| 1 + i32::try_from(self.random.below(3)).unwrap_or(0));
        Letter { token, tasks }
    }

    /// `jobs.replaceJob`, in one transaction as the server does it.
    pub(super) fn replace(&mut self, letter: Letter) {
        let Some(job) = self.records.get().jobs.get(&JOB).cloned() else { return };
        match admit::replacement(&job, document(&job, &letter), &context()) {
            Ok(replacement) => {
                let what = self.write(&job, replacement, &letter);
                self.records.get_mut().faults.extend(what);
            }
            Err(error) => {
                self.records.get_mut().faults.push(format!("a good document is refused: {error}"));
            }
        }
        self.records.get_mut().check_job();
        // Its answer was lost: the client sends it again.
        if self.goes_wrong(300) {
            let later = self.now + self.random.millis(30_000);
            self.at(later, Event::Replace(letter));
        }
    }

    /// Says what is wrong with what was made of the letter.
    fn write(&mut self, old: &Job, replacement: Replacement, letter: &Letter) -> Option<String> {
        let current = self.records.get().current.clone();
        let sent = match &letter.token {
            Wanted::AsShown => current.clone(),
            Wanted::Nothing => None,
            Wanted::Token(sent) => Some(sent.clone()),
        };
        let is_new = sent
            .as_ref()
            .is_some_and(|sent| current.as_ref().is_none_or(|current| current.text != sent.text));
        let expected = sent.as_ref().filter(|_| is_new).map(|sent| format!("job-{}", sent.text));
        if replacement.execution != expected {
            let Replacement { execution, .. } = &replacement;
            return Some(format!(
                "{letter:?} after {current:?} asks for {execution:?}, not {expected:?}"
            ));
        }
        let same = letter.token == Wanted::AsShown && letter.tasks.is_none();
        if same && replacement.generation != old.generation {
            return Some("what was shown and is sent back is another generation".to_owned());
        }
        let mut job = replaced(old, replacement);
        if let Some(name) = expected {
            if self.records.get().is_taken(&name) {
                self.report.conflicts += 1;
                return None;
            }
            let admitted = match admit::run(&job, v1::RunJobRequest::default()) {
                Ok(admitted) => admitted,
                Err(error) => return Some(format!("the execution of a token is refused: {error}")),
            };
            self.report.tokens += 1;
            self.executions += 1;
            let execution = of_token(&job, name, admitted, self.executions, self.now);
            follow(&mut job, &execution);
            self.records.get_mut().insert(execution);
        }
        let mut records = self.records.get_mut();
        records.current = sent;
        records.put_job(job);
        None
    }
}

impl Records {
    /// An execution by `:run`: the token of the job, if it has one, is the past.
    pub(super) fn run(&mut self, execution: Execution) {
        if let Some(mut job) = self.jobs.get(&JOB).cloned() {
            follow(&mut job, &execution);
            self.put_job(job);
        }
        self.current = None;
        self.insert(execution);
        self.check_job();
    }

    /// Whether an execution has this name.
    fn is_taken(&self, name: &str) -> bool {
        let named = |one: &&Execution| one.name == name && one.wishes.delete.is_none();
        self.executions.values().any(|one| named(&one))
    }

    /// The job shows the token that it has, and is as ready as that is.
    pub(super) fn check_job(&mut self) {
        let Some(job) = self.jobs.get(&JOB) else { return };
        let shown = token::shown(job);
        let (start, run) = match &self.current {
            None => (None, None),
            Some(Sent { text, until: Until::Started }) => (Some(*text), None),
            Some(Sent { text, until: Until::Succeeded }) => (None, Some(*text)),
        };
        let found = (shown.start_execution_token.as_deref(), shown.run_execution_token.as_deref());
        let mut faults = Vec::new();
        if found != (start, run) {
            faults.push(format!("the job shows the tokens {found:?}, not {:?}", (start, run)));
        }
        let latest = job.latest_execution.as_ref();
        let row = latest.and_then(|latest| self.executions.get(&latest.uid));
        let status = render::job(job, row, &context()).status.unwrap_or_default();
        let ready = status.conditions.first().and_then(|condition| condition.status.as_deref());
        let expected = self.readiness(job, row);
        if ready != Some(expected) {
            faults.push(format!(
                "with {:?} the job is Ready {ready:?}, not {expected}",
                self.current
            ));
        }
        let mut names: Vec<&str> = self.living().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            faults.push(format!("two executions are called {}", twice[0]));
        }
        self.faults.extend(faults);
    }

    fn living(&self) -> impl Iterator<Item = &str> {
        let lives = |one: &&Execution| one.wishes.delete.is_none();
        self.executions.values().filter(lives).map(|one| one.name.as_str())
    }

    /// `True`, `False` or `Unknown`.
    fn readiness(&self, job: &Job, latest: Option<&Execution>) -> &'static str {
        match &job.readiness.state {
            _ if job.readiness.generation != job.generation => return "Unknown",
            ReadinessState::Checking => return "Unknown",
            ReadinessState::Failed(_) => return "False",
            ReadinessState::Ready => {}
        }
        let latest = latest.filter(|execution| execution.wishes.delete.is_none());
        let (Some(Sent { until, .. }), Some(execution)) = (&self.current, latest) else {
            return "True";
        };
        let started = *until == Until::Started && execution.state.started.is_some();
        match &execution.state.completed {
            _ if started => "True",
            Some(Completed { outcome: Outcome::Succeeded, .. }) => "True",
            Some(_) => "False",
            None => "Unknown",
        }
    }
}

/// The job as a client sends it.
fn document(job: &Job, letter: &Letter) -> v1::Job {
    let mut spec = token::shown(job);
    if letter.token != Wanted::AsShown {
        (spec.start_execution_token, spec.run_execution_token) = (None, None);
    }
    if let Wanted::Token(Sent { text, until }) = &letter.token {
        let token = Some((*text).to_owned());
        match until {
            Until::Started => spec.start_execution_token = token,
            Until::Succeeded => spec.run_execution_token = token,
        }
    }
    let execution = spec.template.as_mut().and_then(|template| template.spec.as_mut());
    if let Some((execution, tasks)) = execution.zip(letter.tasks) {
        execution.task_count = Some(tasks);
    }
    let metadata = v1::ObjectMeta { name: Some(job.name.clone()), ..v1::ObjectMeta::default() };
    v1::Job { metadata: Some(metadata), spec: Some(spec), ..v1::Job::default() }
}

/// The job of a world as `create` stores it: with the server's defaults, so that what it shows can be sent back.
pub(super) fn job(now: jiff::Timestamp) -> Result<Job, groundrun_api::ApiError> {
    let job = sample::job(&Shape::default(), now);
    let letter = Letter { token: Wanted::AsShown, tasks: None };
    let spec = admit::replacement(&job, document(&job, &letter), &context())?.spec;
    Ok(Job { spec, ..job })
}

fn context() -> Context {
    Context {
        project: "demo".to_owned(),
        number: "420000000042".to_owned(),
        console: "http://console.example".to_owned(),
    }
}

/// As the server keeps what is known of a job: another generation is checked anew, and so is one that was not ready.
fn replaced(old: &Job, replacement: Replacement) -> Job {
    let Replacement { labels, annotations, spec, generation, execution: _ } = replacement;
    let failed = matches!(old.readiness.state, ReadinessState::Failed(_));
    let readiness = match generation == old.generation && !failed {
        true => old.readiness.clone(),
        false => {
            Readiness { generation, since: old.readiness.since, state: ReadinessState::Checking }
        }
    };
    Job { generation, labels, annotations, spec, readiness, ..old.clone() }
}

fn of_token(
    job: &Job,
    name: String,
    admitted: AdmittedRun,
    number: u128,
    now: jiff::Timestamp,
) -> Execution {
    let sample = sample::execution(&Shape::default(), number, now);
    let mut of = sample.job.clone();
    of.generation = job.generation;
    let AdmittedRun { labels, annotations, spec } = admitted;
    Execution { uid: uid(number), name, job: of, labels, annotations, spec, ..sample }
}

/// It is the job's latest.
fn follow(job: &mut Job, execution: &Execution) {
    job.execution_count += 1;
    let Execution { uid, name, created, .. } = execution.clone();
    job.latest_execution = Some(LatestExecution { uid, name, created });
}
