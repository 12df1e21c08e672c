//! The filter language of Cloud Logging, as far as gcloud and its users need it for jobs
//! (fact: gcloud-wire E.1).
//!
//! Comparisons (`= != > >= < <= :`) of dotted paths, also with several values in parentheses; words
//! and quoted texts that are looked for everywhere; `NOT` or `-`, `OR`, `AND` or nothing between, in
//! this order of binding; comments from `--` to the end of the line. Letters' case does not matter,
//! except in `AND`, `OR` and `NOT`. Functions and regular expressions are refused by name.

mod matching;
mod narrow;
mod parse;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::logging::Severity;

pub use narrow::Narrow;
pub use parse::FilterError;

/// A filter, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of them hold; without any, everything is selected.
    All(Vec<Filter>),
    /// One of them holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A field compares so with a value. Never holds for a field that is not there.
    Compare(Comparison),
    /// The text is somewhere in the entry; in lower case.
    Text(String),
}

/// `path operator value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Such as `["labels", "run.googleapis.com/execution_name"]`; the first in its JSON form.
    pub path: Vec<String>,
    /// How.
    pub operator: Operator,
    /// With what.
    pub value: Literal,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `:`, is contained in; for what is not text, equals.
    Has,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Text, in lower case.
    Text(String),
    /// Of `timestamp` and `receiveTimestamp`.
    Time(Timestamp),
    /// Of `severity`.
    Severity(Severity),
    /// `*` after `:`: anything, if only the field is there.
    Anything,
}
