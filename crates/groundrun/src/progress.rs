//! How far an execution is, on standard error: a live line in a terminal, else a plain line now and then.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

/// Between two plain lines when standard error is no terminal: a log file wants few.
const PLAIN_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// Counts of tasks, and what is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) all: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) running: u64,
    pub(crate) retried: u64,
    pub(crate) waits_for: Option<String>,
}

impl Stand {
    fn done(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }

    fn in_words(&self) -> String {
        let mut words = format!("{} running, {} retried", self.running, self.retried);
        if self.failed > 0 {
            words.push_str(&format!(", {} failed", self.failed));
        }
        if let Some(why) = &self.waits_for {
            words.push_str(&format!(" ({})", why.trim_end_matches('.')));
        }
        words
    }
}

/// The line.
pub(crate) enum Progress {
    /// Programs want none.
    Silent,
    /// In a terminal.
    Live(ProgressBar),
    /// Elsewhere: when the last line was written, and which.
    Plain(Option<(Timestamp, String)>),
}

impl Progress {
    /// What suits standard error.
    pub(crate) fn of_terminal() -> Self {
        if !stderr().is_terminal() {
            return Self::Plain(None);
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} done, {msg}, {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Live(bar)
    }

    /// Shows where an execution that was created at `created` stands.
    pub(crate) fn show(&mut self, stand: &Stand, created: Timestamp, now: Timestamp) {
        match self {
            Self::Silent => {}
            Self::Live(bar) => {
                bar.set_length(stand.all);
                bar.set_position(stand.done());
                bar.set_message(stand.in_words());
            }
            Self::Plain(last) => {
                let line = format!("{}/{} done, {}", stand.done(), stand.all, stand.in_words());
                let over = stand.done() == stand.all;
                if due(last.as_ref(), &line, now, over) {
                    eprintln!("{line}, {:.1}s", now.duration_since(created).as_secs_f64());
                    *last = Some((now, line));
                }
            }
        }
    }

    /// Runs `print` with the line out of the way.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self {
            Self::Live(bar) => bar.suspend(print),
            Self::Silent | Self::Plain(_) => print(),
        }
    }

    /// Leaves the line as it is, with a free line below.
    pub(crate) fn end(&self) {
        if let Self::Live(bar) = self {
            bar.finish();
            eprintln!();
        }
    }
}

/// A line that says something new, not too soon after the last; the last one of all in any case.
fn due(last: Option<&(Timestamp, String)>, line: &str, now: Timestamp, over: bool) -> bool {
    last.is_none_or(|(at, before)| {
        before != line && (over || now.duration_since(*at) >= PLAIN_EVERY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_is_new_and_not_too_soon() {
        let at = |millis| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millis);
        let last = (at(0), "1/4 done".to_owned());
        assert!(due(None, "0/4 done", at(0), false));
        assert!(!due(Some(&last), "2/4 done", at(500), false));
        assert!(due(Some(&last), "2/4 done", at(1000), false));
        assert!(!due(Some(&last), "1/4 done", at(9000), false));
        assert!(due(Some(&last), "4/4 done", at(1), true));
    }

    #[test]
    fn a_stand_says_what_it_waits_for() {
        let stand =
            Stand { running: 2, waits_for: Some("Waiting for cpu.".into()), ..Stand::default() };
        assert_eq!(stand.in_words(), "2 running, 0 retried (Waiting for cpu)");
        assert_eq!(
            Stand { failed: 3, ..Stand::default() }.in_words(),
            "0 running, 0 retried, 3 failed"
        );
    }
}
