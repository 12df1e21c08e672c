//! What can become of a field.

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Accepted, returned, and it does what it says.
    Honoured,
    /// Accepted and returned; it has no effect, by Cloud Run's own rules or by our decision.
    Stored,
    /// Refused by name unless it is empty, `false` or absent.
    Refused,
    /// The server's own: what the client sends is not looked at, and replies say what is true.
    Ignored,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Such as `Job.spec.template.spec.taskCount`.
    pub path: &'static str,
    /// What becomes of it.
    pub standing: Standing,
    /// How it is honoured, or why not; of a refused field, the description of its violation.
    pub note: &'static str,
}

/// A field, with what becomes of it.
pub(super) const fn rule(path: &'static str, standing: Standing, note: &'static str) -> FieldRule {
    FieldRule { path, standing, note }
}
