//! The faults found so far. Checks add to them and go on.

use groundrun_api::FieldViolation;

/// All faults of one document, in the order of their discovery.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<FieldViolation>);

impl Faults {
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// `value`, when nothing was found.
    pub(super) fn or<T>(self, value: T) -> Result<T, groundrun_api::ApiError> {
        if self.0.is_empty() { Ok(value) } else { Err(groundrun_api::ApiError::invalid(self.0)) }
    }

    #[cfg(test)]
    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}
