//! Label selectors, as `labelSelector` of the list methods takes them.
//!
//! `a = b`, `a == b`, `a != b`, `a`, `!a`, `a in (b, c)` and `a notin (b, c)` (also `notIn`), joined by commas, with
//! blanks wherever they help. As in Kubernetes, `!=` and `notin` also select what does not have the label.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use winnow::{
    ascii::multispace0,
    combinator::{alt, delimited, dispatch, empty, eof, fail, opt, peek, preceded, separated},
    error::{StrContext, StrContextValue},
    prelude::*,
    token::{any, take_while},
};

/// What a list is narrowed by. All requirements must hold; without any, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// In the order in which they were written.
    pub requirements: Vec<Requirement>,
}

/// What one label must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label, such as `run.googleapis.com/job`.
    pub key: String,
    /// What is asked of it.
    pub test: Test,
}

/// What is asked of a label. `=` is `In` with one value, `!=` is `NotIn` with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is there, with any value.
    Exists,
    /// It is not there.
    Absent,
    /// It is there, with one of these values.
    In(BTreeSet<String>),
    /// It is not there, or with none of these values.
    NotIn(BTreeSet<String>),
}

/// The text is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse label selector {selector:?}: {expected} expected at character {at}")]
pub struct SelectorError {
    /// The whole text.
    pub selector: String,
    /// Where it went wrong, in characters, from 1.
    pub at: usize,
    /// What could have stood there.
    pub expected: String,
}

impl Selector {
    /// Does something with these labels belong to the selection?
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|one| one.test.holds(labels.get(&one.key).map(String::as_str)))
    }
}

impl Test {
    /// Does it hold for a label with this value, or for one that is not there?
    #[must_use]
    pub fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        selector.parse(text).map_err(|error| SelectorError {
            selector: text.to_owned(),
            at: text[..error.char_span().start].chars().count() + 1,
            expected: error
                .inner()
                .context()
                .find_map(|context| match context {
                    StrContext::Expected(expected) => Some(expected.to_string()),
                    _ => None,
                })
                .unwrap_or_else(|| "a comma or the end".to_owned()),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let (one, many, values) = match &self.test {
            Test::Exists => return write!(f, "{key}"),
            Test::Absent => return write!(f, "!{key}"),
            Test::In(values) => ("=", "in", values),
            Test::NotIn(values) => ("!=", "notin", values),
        };
        let list: Vec<&str> = values.iter().map(String::as_str).collect();
        match list.as_slice() {
            [value] => write!(f, "{key}{one}{value}"),
            _ => write!(f, "{key} {many} ({})", list.join(",")),
        }
    }
}

/// Names what was expected, for the error.
fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

fn selector(input: &mut &str) -> ModalResult<Selector> {
    multispace0.parse_next(input)?;
    let mut requirements = Vec::new();
    if !input.is_empty() {
        requirements.push(requirement(input)?);
        while opt(',').parse_next(input)?.is_some() {
            requirements.push(requirement(input)?);
        }
    }
    eof.context(expected("a comma or the end")).parse_next(input)?;
    Ok(Selector { requirements })
}

fn requirement(input: &mut &str) -> ModalResult<Requirement> {
    multispace0.parse_next(input)?;
    if opt('!').parse_next(input)?.is_some() {
        return Ok(Requirement { key: key(input)?, test: Test::Absent });
    }
    Ok(Requirement { key: key(input)?, test: test(input)? })
}

fn key(input: &mut &str) -> ModalResult<String> {
    multispace0.parse_next(input)?;
    word(1).context(expected("a label key")).map(str::to_owned).parse_next(input).and_then(|key| {
        multispace0.parse_next(input)?;
        Ok(key)
    })
}

fn test(input: &mut &str) -> ModalResult<Test> {
    let one = |value: &str| BTreeSet::from([value.to_owned()]);
    dispatch! {peek(opt(any));
        None | Some(',') => empty.value(Test::Exists),
        Some('=') => preceded((alt(("==", "=")), multispace0), value).map(|value| Test::In(one(value))),
        Some('!') => preceded(("!=", multispace0), value).map(|value| Test::NotIn(one(value))),
        Some('i') => preceded(("in", multispace0), values).map(Test::In),
        Some('n') => preceded((alt(("notin", "notIn")), multispace0), values).map(Test::NotIn),
        _ => fail,
    }
    .context(expected("=, ==, !=, in, notin, a comma or the end"))
    .parse_next(input)
}

/// One value; it may be empty.
fn value<'i>(input: &mut &'i str) -> ModalResult<&'i str> {
    let found = word(0).parse_next(input)?;
    multispace0.parse_next(input)?;
    Ok(found)
}

fn values(input: &mut &str) -> ModalResult<BTreeSet<String>> {
    let one = preceded(multispace0, value).map(str::to_owned);
    let closed = ')'.context(expected("a comma or a closing parenthesis"));
    let found: Vec<String> = delimited(
        '('.context(expected("an opening parenthesis")),
        separated(1.., one, ','),
        closed,
    )
    .parse_next(input)?;
    multispace0.parse_next(input)?;
    Ok(found.into_iter().collect())
}

/// What keys and values are made of: everything that is neither blank nor part of the grammar.
fn word<'i>(least: usize) -> impl ModalParser<&'i str, &'i str, winnow::error::ContextError> {
    take_while(least.., |c: char| !c.is_whitespace() && !"=!<>(),".contains(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn selects(selector: &str, pairs: &[(&str, &str)]) -> bool {
        selector.parse::<Selector>().expect(selector).matches(&labels(pairs))
    }

    #[test]
    fn gcloud_writes_blanks_around_its_operators() {
        let task = [
            ("run.googleapis.com/execution", "j1-abcde"),
            ("run.googleapis.com/runningState", "Running"),
        ];
        assert!(selects("run.googleapis.com/execution = j1-abcde", &task));
        assert!(!selects("run.googleapis.com/execution = j1-abcdf", &task));
        assert!(selects(
            "run.googleapis.com/execution = j1-abcde,run.googleapis.com/runningState in (Pending,Running)",
            &task
        ));
        assert!(!selects("run.googleapis.com/runningState in ( Failed , Cancelled )", &task));
    }

    #[test]
    fn every_operator_selects_as_in_kubernetes() {
        let table = [
            ("", true),
            ("  ", true),
            ("a", true),
            ("b", false),
            ("!b", true),
            ("! a", false),
            ("a=1", true),
            ("a == 1", true),
            ("a=2", false),
            ("a=", false),
            ("empty=", true),
            ("a!=2", true),
            ("a!=1", false),
            ("b!=1", true),
            ("a in (1,2)", true),
            ("a in(2)", false),
            ("b in (1)", false),
            ("a notin (2, 3)", true),
            ("a notIn (1)", false),
            ("b notin (1)", true),
            ("in in (x)", true),
            ("a,in=x,!c", true),
        ];
        for (selector, wanted) in table {
            let found = selects(selector, &[("a", "1"), ("in", "x"), ("empty", "")]);
            assert_eq!(found, wanted, "{selector:?}");
        }
    }

    #[test]
    fn an_error_says_where_and_what_was_expected() {
        let table =
            ["a,", "=b", "a=b c", "a in b", "a in (b", "a > 1", "!", "a b", "a = b = c", "ä in ö"];
        let lines: Vec<String> = table
            .iter()
            .map(|text| text.parse::<Selector>().expect_err(text).to_string())
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    fn any_requirement() -> impl Strategy<Value = Requirement> {
        let word = "[a-z][-a-z0-9./]{0,8}";
        let values = || proptest::collection::btree_set("[-a-zA-Z0-9._]{0,5}", 1..4);
        let test = prop_oneof![
            Just(Test::Exists),
            Just(Test::Absent),
            values().prop_map(Test::In),
            values().prop_map(Test::NotIn),
        ];
        (word, test).prop_map(|(key, test)| Requirement { key, test })
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(
            requirements in proptest::collection::vec(any_requirement(), 0..5),
        ) {
            let selector = Selector { requirements };
            prop_assert_eq!(selector.to_string().parse::<Selector>(), Ok(selector));
        }

        #[test]
        fn a_test_and_its_opposite_part_everything(value in proptest::option::of("[ab]"), set in
            proptest::collection::btree_set("[ab]", 0..3)) {
            let value = value.as_deref();
            prop_assert!(Test::Exists.holds(value) != Test::Absent.holds(value));
            prop_assert!(Test::In(set.clone()).holds(value) != Test::NotIn(set).holds(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-a-z!=<>(),. \u{e4}\n]{0,24}|.{0,24}") {
            let _ = text.parse::<Selector>();
        }
    }
}
