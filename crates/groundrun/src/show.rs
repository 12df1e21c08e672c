//! What `run` shows: lines of tasks on standard output, progress and the summary on standard error.

use groundrun_core::{
    log::Stream,
    outcome,
    record::{Attempt, Ending, Execution, ImagesState},
    render,
};
use groundrun_image::Progress as Import;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{
        exit::Stop,
        output::{print, table},
    },
    follow::Look,
    progress::{Progress, Stand},
};

/// Rows of the summary; a failure of thousands of tasks has the same few reasons.
const ROWS_MAX: usize = 50;

pub(crate) struct Show {
    name: String,
    json: bool,
    progress: Progress,
    failures: Vec<[String; 3]>,
    failed_attempts: usize,
}

impl Show {
    pub(crate) fn new(name: String, json: bool) -> Self {
        let progress = if json { Progress::Silent } else { Progress::of_terminal() };
        Self { name, json, progress, failures: Vec::new(), failed_attempts: 0 }
    }

    /// New lines, new ends, new progress.
    pub(crate) fn look(
        &mut self,
        look: &Look,
        import: Option<Import>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let mut text = String::new();
        let names = names(&look.execution);
        for (id, line) in &look.lines {
            let stream = match line.stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
                Stream::Note => "note",
                // What is shown of ends is the attempt's.
                Stream::Ended(_) => continue,
            };
            let container = names.get(line.container).map_or("", String::as_str);
            if self.json {
                let event = json!({
                    "event": "log", "time": format!("{:.6}", line.at), "task": id.task, "attempt": id.attempt,
                    "container": container, "stream": stream, "text": line.text,
                });
                text.push_str(&format!("{event}\n"));
            } else {
                // The monitor's notes are of the attempt.
                let several = names.len() > 1 && line.stream != Stream::Note;
                let name = if several { format!(" {container}") } else { String::new() };
                text.push_str(&format!("{}.{}{name} | {}\n", id.task, id.attempt, line.text));
            }
        }
        for attempt in &look.ended {
            self.ended(attempt, &mut text);
        }
        if !text.is_empty() {
            self.progress.aside(|| print(&text))?;
        }
        self.progress.show(&stand(&look.execution, import), look.execution.created, now);
        Ok(())
    }

    fn ended(&mut self, attempt: &Attempt, text: &mut String) {
        let Some((at, ending)) = &attempt.ended else { return };
        let status = outcome::attempt_status(ending);
        if self.json {
            let event = json!({
                "event": "attempt", "time": format!("{at:.6}"), "task": attempt.id.task, "attempt": attempt.id.attempt,
                "code": status.code, "message": status.message, "exitCode": status.exit_code, "termSignal": status.term_signal,
            });
            text.push_str(&format!("{event}\n"));
        }
        if status.code != 0 {
            self.failed_attempts += 1;
            if self.failures.len() < ROWS_MAX {
                self.failures.push([
                    attempt.id.task.to_string(),
                    attempt.id.attempt.to_string(),
                    reason(ending),
                ]);
            }
        }
    }

    pub(crate) fn stopping(&self) {
        self.progress.aside(|| eprintln!("stopping the tasks: SIGTERM now, SIGKILL in 10 seconds"));
    }

    /// The summary: every failed attempt with its reason, and how it came out.
    pub(crate) fn end(&mut self, object: &Value, execution: &Execution) -> Result<(), Stop> {
        self.progress.end();
        if self.json {
            return print(&format!("{}\n", json!({"event": "completed", "execution": object})));
        }
        if !self.failures.is_empty() {
            eprint!(
                "\nattempts that failed:\n{}",
                table(["TASK", "ATTEMPT", "REASON"], std::mem::take(&mut self.failures))
            );
            if self.failed_attempts > ROWS_MAX {
                eprintln!("… and {} more", self.failed_attempts - ROWS_MAX);
            }
        }
        let counters = execution.state.counters;
        let (_, message) = crate::cli::output::condition(object, "Completed");
        eprintln!(
            "\nexecution {}: {message}\n{} succeeded, {} failed, {} cancelled, {} retried",
            self.name, counters.succeeded, counters.failed, counters.cancelled, counters.retried
        );
        Ok(())
    }
}

/// Of the containers of a task.
fn names(execution: &Execution) -> Vec<String> {
    let task = execution.spec.template.as_ref().and_then(|template| template.spec.as_ref());
    task.map(|task| render::container_names(task).collect()).unwrap_or_default()
}

/// Where it stands, and what it waits for.
fn stand(execution: &Execution, import: Option<Import>) -> Stand {
    let counters = execution.state.counters;
    let waits_for = match (&execution.state.images, import) {
        (ImagesState::Retrying { message, .. }, _) => Some(message.clone()),
        (ImagesState::Importing, Some(Import { done, total })) if total > 0 => {
            Some(format!("importing the image: {} of {} MiB", done >> 20, total >> 20))
        }
        (ImagesState::Importing, _) => Some("importing the image".to_owned()),
        (ImagesState::Imported { .. }, _) => {
            execution.state.waiting_for.as_ref().map(|why| format!("waiting for {why}"))
        }
    };
    Stand {
        all: u64::try_from(execution.spec.task_count.unwrap_or(1)).unwrap_or(1),
        succeeded: counters.succeeded.into(),
        failed: counters.failed.into(),
        cancelled: counters.cancelled.into(),
        running: counters.running.into(),
        retried: counters.retried.into(),
        waits_for,
    }
}

/// What a person needs to know of a failed attempt; finer than what the API's texts say.
fn reason(ending: &Ending) -> String {
    let status = outcome::attempt_status(ending);
    match (status.exit_code, status.term_signal) {
        (Some(code), _) => format!("exit code {code}: {}", status.message),
        (None, Some(signal)) => format!("signal {signal}: {}", status.message),
        (None, None) => status.message,
    }
}
