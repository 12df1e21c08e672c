//! What the task's log is told of its databases: each thing once, and little in all.

use std::collections::BTreeMap;

/// Lines of one attempt: a database that comes and goes must not fill the log.
const LINES_MAX: usize = 100;

/// Bytes of one line, so that it fits into a packet.
const LINE_BYTES_MAX: usize = 2048;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The last line of each instance since it last worked.
    last: BTreeMap<String, String>,
    lines: usize,
}

impl Notes {
    /// The line to tell, unless it was told.
    pub(super) fn fault(&mut self, instance: &str, why: &str) -> Option<String> {
        if self.lines == LINES_MAX || self.last.get(instance).is_some_and(|last| last == why) {
            return None;
        }
        self.lines += 1;
        self.last.insert(instance.to_owned(), why.to_owned());
        let more = if self.lines == LINES_MAX { " (what follows is not told)" } else { "" };
        let mut line = format!("Cloud SQL instance {instance}: {why}");
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        Some(line + more)
    }

    /// It works again: the next fault is worth a line.
    pub(super) fn works(&mut self, instance: &str) {
        self.last.remove(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_once_until_it_is_over() {
        let mut notes = Notes::default();
        let line = "Cloud SQL instance p:r:i: refused";
        assert_eq!(notes.fault("p:r:i", "refused").as_deref(), Some(line));
        assert_eq!(notes.fault("p:r:i", "refused"), None);
        assert!(notes.fault("p:r:j", "refused").is_some(), "another instance");
        assert!(notes.fault("p:r:i", "timed out").is_some(), "another fault");
        notes.works("p:r:i");
        assert!(notes.fault("p:r:i", "timed out").is_some(), "it worked in between");
    }

    #[test]
    fn a_log_is_not_filled() {
        let mut notes = Notes::default();
        let told = (0..1000).filter_map(|n| notes.fault("p:r:i", &format!("fault {n}")));
        let told: Vec<String> = told.collect();
        assert_eq!(told.len(), LINES_MAX);
        assert!(told[LINES_MAX - 1].ends_with("(what follows is not told)"));
        let long = Notes::default().fault("p:r:i", &"é".repeat(4096)).expect("it is told");
        assert!(long.len() <= LINE_BYTES_MAX);
    }
}
