//! What clients see at every phase.

mod executions;
mod jobs;
mod logs;
mod tasks;

use std::fmt::Write;

use groundrun_api::v1::Condition;

/// One line per condition: `Type Status time severity reason: message`, with time in seconds after the job's creation.
fn lines(conditions: &[Condition]) -> String {
    let mut out = String::new();
    for one in conditions {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let since =
            one.last_transition_time.map(|time| time.0.duration_since(crate::samples::at(0.0)));
        let since = since.map_or(f64::NAN, |since| since.as_secs_f64());
        let Condition { r#type, status, severity, reason, message, .. } = one;
        writeln!(
            out,
            "{:18} {:7} {since:>8.3} {:7} {:19} {}",
            word(r#type),
            word(status),
            word(severity),
            word(reason),
            word(message)
        )
        .expect("writing to a string succeeds");
    }
    out
}
