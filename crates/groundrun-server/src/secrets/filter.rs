//! The filter of lists, as far as gcloud and its users need it (fact: Secret Manager's page on filtering): terms such as
//! `name:db`, `labels.team=x`, `labels.team:*`, `state=ENABLED`, `create_time>2026-01-01`, or a word that the name has;
//! `NOT` or `-` before one; `OR` between two binds tighter than `AND` or nothing. Case does not matter in values.
//! Parentheses and what else there is are refused by name.

use groundrun_api::{ApiError, FieldViolation};
use jiff::Timestamp;
use serde_json::Value;

/// Terms of a filter; people write three.
const TERMS_MAX: usize = 50;

/// All of them hold, each by one of its alternatives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter(Vec<Vec<Term>>);

#[derive(Clone, Debug, PartialEq)]
struct Term {
    /// Whether it must not hold.
    negated: bool,
    /// In its JSON form.
    path: Vec<String>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// `:*`
    Present,
    /// `:`, in lower case.
    Has(String),
    /// `=`, in lower case; `!=` is its negation.
    Is(String),
    /// `<`, `<=`, `>`, `>=` with a time.
    Time(Order, Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Before,
    NotAfter,
    After,
    NotBefore,
}

impl Filter {
    /// Of a list of secrets.
    pub(super) fn of_secrets(text: &str) -> Result<Self, ApiError> {
        Self::parse(text, &["name", "labels", "annotations", "create_time"])
    }

    /// Of a list of versions.
    pub(super) fn of_versions(text: &str) -> Result<Self, ApiError> {
        Self::parse(text, &["name", "state", "create_time"])
    }

    fn parse(text: &str, fields: &[&str]) -> Result<Self, ApiError> {
        let refused = |why: String| {
            ApiError::invalid(vec![FieldViolation::new("filter", format!("{why}, in {text:?}"))])
        };
        let words = words(text).map_err(refused)?;
        if words.len() > TERMS_MAX {
            return Err(refused(format!("more than {TERMS_MAX} words")));
        }
        let mut all: Vec<Vec<Term>> = Vec::new();
        let mut words = words.iter().map(String::as_str).peekable();
        let mut joined = Joined::And;
        while let Some(mut word) = words.next() {
            match word {
                "AND" if words.peek().is_some() && !all.is_empty() => continue,
                "OR" if words.peek().is_some() && !all.is_empty() => {
                    joined = Joined::Or;
                    continue;
                }
                "AND" | "OR" => return Err(refused(format!("nothing beside {word}"))),
                _ => {}
            }
            let mut negated = false;
            if word == "NOT" {
                negated = true;
                word = words.next().ok_or_else(|| refused("nothing behind NOT".to_owned()))?;
            } else if let Some(rest) = word.strip_prefix('-') {
                (negated, word) = (true, rest);
            }
            let mut term = term(word, fields).map_err(refused)?;
            term.negated ^= negated;
            match all.last_mut() {
                Some(last) if joined == Joined::Or => last.push(term),
                _ => all.push(vec![term]),
            }
            joined = Joined::And;
        }
        Ok(Self(all))
    }

    /// Does it select what is shown so?
    pub(super) fn selects(&self, shown: &Value) -> bool {
        self.0.iter().all(|any| any.iter().any(|term| term.holds(shown) != term.negated))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Joined {
    And,
    Or,
}

/// Splits at blanks outside of quotes; a quote inside of a word is part of it, and is dropped.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            '(' | ')' if !quoted => return Err(format!("'{letter}' is not supported here")),
            letter if letter.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => word.push(letter),
        }
    }
    if quoted {
        return Err("a quote without its end".to_owned());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

fn term(word: &str, fields: &[&str]) -> Result<Term, String> {
    let Some(at) = word.find(['=', '!', ':', '<', '>', '~']) else {
        let test = Test::Has(word.to_lowercase());
        return Ok(Term { negated: false, path: vec!["name".to_owned()], test });
    };
    let (field, rest) = word.split_at(at);
    let operator = ["!=", "<=", ">=", "=", ":", "<", ">"].into_iter().find(|o| rest.starts_with(o));
    let operator = operator.ok_or_else(|| format!("'{}' is not supported here", &rest[..1]))?;
    let value = &rest[operator.len()..];
    let (first, key) = match field.split_once('.') {
        Some((first, key)) => (first, Some(key)),
        None => (field, None),
    };
    let first = if first == "createTime" { "create_time" } else { first };
    if !fields.contains(&first) || (key.is_some() && !matches!(first, "labels" | "annotations")) {
        return Err(format!(
            "there is no field '{field}' to filter by, only {}",
            fields.join(", ")
        ));
    }
    let name = if first == "create_time" { "createTime" } else { first };
    let mut path = vec![name.to_owned()];
    path.extend(key.map(str::to_owned));
    if matches!(first, "labels" | "annotations") && key.is_none() {
        if operator != ":" {
            return Err(format!(
                "'{field}{operator}': only {field}:KEY and {field}.KEY are supported"
            ));
        }
        if value != "*" {
            path.push(value.to_owned());
        }
        return Ok(Term { negated: false, path, test: Test::Present });
    }
    let test = match operator {
        ":" if value == "*" => Test::Present,
        ":" => Test::Has(value.to_lowercase()),
        "=" | "!=" => Test::Is(value.to_lowercase()),
        _ => Test::Time(order(operator), time(first, value)?),
    };
    Ok(Term { negated: operator == "!=", path, test })
}

fn order(operator: &str) -> Order {
    match operator {
        "<" => Order::Before,
        "<=" => Order::NotAfter,
        ">" => Order::After,
        _ => Order::NotBefore,
    }
}

/// RFC 3339, or a day.
fn time(field: &str, value: &str) -> Result<Timestamp, String> {
    if field != "create_time" {
        return Err(format!("'{field}' has no order: only create_time is compared so"));
    }
    let day = format!("{value}T00:00:00Z");
    value
        .parse()
        .or_else(|_| day.parse())
        .map_err(|_| format!("'{value}' is not a time such as 2026-01-31T08:00:00Z"))
}

impl Term {
    fn holds(&self, shown: &Value) -> bool {
        let found = self.path.iter().try_fold(shown, |value, key| value.get(key));
        let Some(found) = found else { return false };
        let text = found.as_str().unwrap_or_default();
        match &self.test {
            Test::Present => true,
            Test::Has(wanted) => text.to_lowercase().contains(wanted),
            Test::Is(wanted) => {
                let text = text.to_lowercase();
                // A name is given in full, or by its last part.
                text == *wanted
                    || (self.path == ["name"] && text.rsplit('/').next() == Some(wanted))
            }
            Test::Time(order, wanted) => text.parse::<Timestamp>().is_ok_and(|time| match order {
                Order::Before => time < *wanted,
                Order::NotAfter => time <= *wanted,
                Order::After => time > *wanted,
                Order::NotBefore => time >= *wanted,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_selects_as_googles_page_says() {
        let secret = json!({
            "name": "projects/42/secrets/db-password", "createTime": "2026-11-24T08:00:00.000000Z",
            "labels": {"team": "blue", "empty": ""},
        });
        for (filter, selected) in [
            ("", true),
            ("password", true),
            ("name:DB", true),
            ("name:asecret OR name:db", true),
            ("name:asecret OR name:bsecret", false),
            ("name=db-password", true),
            ("name=\"projects/42/secrets/db-password\"", true),
            ("name!=db-password", false),
            ("NOT name:db", false),
            ("-name:db", false),
            ("labels.team=blue", true),
            ("labels.team=red OR labels.team=BLUE AND name:db", true),
            ("labels.team:bl name:x", false),
            ("labels:team", true),
            ("labels.team:*", true),
            ("labels.none:*", false),
            ("labels.empty=\"\"", true),
            ("create_time>2026-11-24", true),
            ("createTime<=2026-11-24T08:00:00Z", true),
            ("create_time<2026-11-24T08:00:00Z", false),
        ] {
            let parsed = Filter::of_secrets(filter).expect(filter);
            assert_eq!(parsed.selects(&secret), selected, "{filter}");
        }
    }

    #[test]
    fn what_a_filter_cannot_say_here_is_refused_by_name() {
        for (filter, why) in [
            ("(name:a)", "'(' is not supported here"),
            ("name~\"a.*\"", "'~' is not supported here"),
            ("topics:x", "there is no field 'topics' to filter by"),
            ("state=ENABLED", "there is no field 'state' to filter by"),
            ("name.x=1", "there is no field 'name.x' to filter by"),
            ("name<a", "'name' has no order"),
            ("create_time>yesterday", "is not a time such as"),
            ("labels=x", "only labels:KEY and labels.KEY are supported"),
            ("name:\"a", "a quote without its end"),
            ("OR name:a", "nothing beside OR"),
            ("name:a AND", "nothing beside AND"),
            ("NOT", "nothing behind NOT"),
        ] {
            let fault = Filter::of_secrets(filter).expect_err(filter).message;
            assert!(fault.starts_with("filter: ") && fault.contains(why), "{filter}: {fault}");
        }
        assert!(Filter::of_versions("state=enabled").is_ok());
        assert!(Filter::of_secrets(&"a ".repeat(51)).is_err());
    }
}
