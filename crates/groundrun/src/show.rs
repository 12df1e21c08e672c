//! What `run` shows: lines of tasks on standard output, progress and the summary on standard error.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use groundrun_core::{
    outcome,
    record::{Attempt, Ending, Execution, ImagesState},
};
use groundrun_host::Stream;
use groundrun_image::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{
        exit::Stop,
        output::{print, table},
    },
    follow::Look,
};

/// Between two plain progress lines when standard error is no terminal: a log file wants few.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// Rows of the summary; a failure of thousands of tasks has the same few reasons.
const ROWS_MAX: usize = 50;

pub(crate) struct Show {
    name: String,
    json: bool,
    bar: Option<ProgressBar>,
    last_plain: Option<(Timestamp, String)>,
    failures: Vec<[String; 3]>,
    failed_attempts: usize,
}

impl Show {
    pub(crate) fn new(name: String, json: bool) -> Self {
        let bar = (!json && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} done, {msg}, {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { name, json, bar, last_plain: None, failures: Vec::new(), failed_attempts: 0 }
    }

    /// New lines, new ends, new progress.
    pub(crate) fn look(
        &mut self,
        look: &Look,
        import: Option<Progress>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let mut text = String::new();
        for (id, line) in &look.lines {
            if self.json {
                let stream = match line.stream {
                    Stream::Stdout => "stdout",
                    Stream::Stderr => "stderr",
                    Stream::Note => "note",
                };
                let event = json!({
                    "event": "log", "time": format!("{:.6}", line.at), "task": id.task, "attempt": id.attempt,
                    "stream": stream, "text": line.text,
                });
                text.push_str(&format!("{event}\n"));
            } else {
                text.push_str(&format!("{}.{} | {}\n", id.task, id.attempt, line.text));
            }
        }
        for attempt in &look.ended {
            self.ended(attempt, &mut text);
        }
        if !text.is_empty() {
            match &self.bar {
                Some(bar) => bar.suspend(|| print(&text))?,
                None => print(&text)?,
            }
        }
        self.progress(&look.execution, import, now);
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

    fn progress(&mut self, execution: &Execution, import: Option<Progress>, now: Timestamp) {
        let counters = execution.state.counters;
        let done = u64::from(counters.succeeded + counters.failed + counters.cancelled);
        let all = u64::try_from(execution.spec.task_count.unwrap_or(1)).unwrap_or(1);
        let mut message = format!("{} running, {} retried", counters.running, counters.retried);
        if counters.failed > 0 {
            message.push_str(&format!(", {} failed", counters.failed));
        }
        match (&execution.state.images, import) {
            (ImagesState::Retrying { message: why, .. }, _) => {
                message.push_str(&format!(" ({why})"))
            }
            (ImagesState::Importing, Some(Progress { done, total })) if total > 0 => {
                message.push_str(&format!(
                    " (importing the image: {} of {} MiB)",
                    done >> 20,
                    total >> 20
                ));
            }
            (ImagesState::Importing, _) => message.push_str(" (importing the image)"),
            (ImagesState::Imported { .. }, _) => {}
        }
        if let Some(waiting) = &execution.state.waiting_for {
            message.push_str(&format!(" ({waiting})"));
        }
        if self.json {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            bar.set_message(message);
            return;
        }
        let line = format!("{done}/{all} done, {message}");
        let due = match &self.last_plain {
            None => true,
            Some((at, last)) => {
                *last != line
                    && (now.duration_since(*at)
                        >= jiff::SignedDuration::try_from(PLAIN_EVERY).unwrap_or_default()
                        || done == all)
            }
        };
        if due {
            let elapsed = now.duration_since(execution.created);
            eprintln!("{line}, {:.1}s", elapsed.as_secs_f64());
            self.last_plain = Some((now, line));
        }
    }

    pub(crate) fn stopping(&self) {
        let say = || eprintln!("stopping the tasks: SIGTERM now, SIGKILL in 10 seconds");
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// The summary: every failed attempt with its reason, and how it came out.
    pub(crate) fn end(&mut self, object: &Value, execution: &Execution) -> Result<(), Stop> {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
        if self.json {
            return print(&format!("{}\n", json!({"event": "completed", "execution": object})));
        }
        if !self.failures.is_empty() {
            eprint!(
                "\n{}",
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

/// What a person needs to know of a failed attempt; finer than what the API's texts say.
fn reason(ending: &Ending) -> String {
    let status = outcome::attempt_status(ending);
    match (status.exit_code, status.term_signal) {
        (Some(code), _) => format!("exit code {code}: {}", status.message),
        (None, Some(signal)) => format!("signal {signal}: {}", status.message),
        (None, None) => status.message,
    }
}
