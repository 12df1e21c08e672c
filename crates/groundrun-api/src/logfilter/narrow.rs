//! What a filter asks of every entry that it selects, in a form that an index can use.

use jiff::Timestamp;

use super::{Comparison, Filter, Literal, Operator};

/// Bounds of a filter's selection. It selects nothing outside them, and need not select all within.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    /// Only of this `resource.type`.
    pub resource_type: Option<String>,
    /// Only of the job with this name.
    pub job: Option<String>,
    /// Only of the execution with this name.
    pub execution: Option<String>,
    /// Only of the task with this index.
    pub task: Option<u32>,
    /// Only from this region.
    pub location: Option<String>,
    /// Nothing before.
    pub since: Option<Timestamp>,
    /// Nothing after.
    pub until: Option<Timestamp>,
    /// Two bounds contradict each other: nothing at all is selected.
    pub nothing: bool,
}

impl Filter {
    /// What it asks of every entry that it selects. Names are in lower case, as they are everywhere.
    #[must_use]
    pub fn narrow(&self) -> Narrow {
        let mut narrow = Narrow::default();
        narrow.add(self);
        let backwards = narrow.since.zip(narrow.until).is_some_and(|(since, until)| since > until);
        narrow.nothing |= backwards;
        narrow
    }
}

impl Narrow {
    fn add(&mut self, filter: &Filter) {
        match filter {
            Filter::All(parts) => parts.iter().for_each(|part| self.add(part)),
            Filter::Compare(comparison) => self.add_comparison(comparison),
            Filter::Any(_) | Filter::Not(_) | Filter::Text(_) => {}
        }
    }

    fn add_comparison(&mut self, Comparison { path, operator, value }: &Comparison) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match (names.as_slice(), operator, value) {
            (["timestamp"], operator, Literal::Time(time)) => self.add_time(*operator, *time),
            (["resource", "type"], Operator::Equal, Literal::Text(text)) => {
                self.nothing |= contradicts(&mut self.resource_type, text.clone());
            }
            (["resource", "labels", "job_name"], Operator::Equal, Literal::Text(text)) => {
                self.nothing |= contradicts(&mut self.job, text.clone());
            }
            (["resource", "labels", "location"], Operator::Equal, Literal::Text(text)) => {
                self.nothing |= contradicts(&mut self.location, text.clone());
            }
            (["labels", key @ ..], Operator::Equal, Literal::Text(text)) => {
                match key.join(".").as_str() {
                    "run.googleapis.com/execution_name" => {
                        self.nothing |= contradicts(&mut self.execution, text.clone());
                    }
                    // Other spellings of a number are other texts, and select nothing.
                    "run.googleapis.com/task_index" => match text.parse::<u32>() {
                        Ok(index) if index.to_string() == *text => {
                            self.nothing |= contradicts(&mut self.task, index);
                        }
                        _ => self.nothing = true,
                    },
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn add_time(&mut self, operator: Operator, time: Timestamp) {
        let from = matches!(
            operator,
            Operator::Greater | Operator::GreaterOrEqual | Operator::Equal | Operator::Has
        );
        let to = matches!(
            operator,
            Operator::Less | Operator::LessOrEqual | Operator::Equal | Operator::Has
        );
        if from {
            self.since = Some(self.since.map_or(time, |since| since.max(time)));
        }
        if to {
            self.until = Some(self.until.map_or(time, |until| until.min(time)));
        }
    }
}

/// Sets what is not set; is it set to something else?
fn contradicts<T: PartialEq + Clone>(bound: &mut Option<T>, value: T) -> bool {
    bound.get_or_insert_with(|| value.clone()) != &value
}
