//! From text to filter. By hand and top-down: what a blank or a colon means depends on whether a field or a value is
//! being read, and each fault says its own words at its own place.

use std::str::FromStr;

use jiff::Timestamp;

use super::{Comparison, Filter, Literal, Operator};
use crate::error::{ApiError, Code};

/// Google's own limit, in characters.
const CHARACTERS_MAX: usize = 20_000;

/// Levels of parentheses and negations. Each takes a few hundred bytes of stack; people write three.
const DEPTH_MAX: usize = 50;

/// The members of a log entry. Others are refused: a typo would silently select nothing.
const FIELDS: [(&str, &str); 17] = [
    ("logName", "log_name"),
    ("resource", "resource"),
    ("timestamp", "timestamp"),
    ("receiveTimestamp", "receive_timestamp"),
    ("severity", "severity"),
    ("insertId", "insert_id"),
    ("labels", "labels"),
    ("textPayload", "text_payload"),
    ("jsonPayload", "json_payload"),
    ("protoPayload", "proto_payload"),
    ("httpRequest", "http_request"),
    ("operation", "operation"),
    ("trace", "trace"),
    ("spanId", "span_id"),
    ("traceSampled", "trace_sampled"),
    ("sourceLocation", "source_location"),
    ("split", "split"),
];

/// The text is not a filter, or one that is not honoured here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unparseable filter: {why} at line {line}, column {column}")]
pub struct FilterError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub why: String,
}

/// 400 INVALID_ARGUMENT.
impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string())
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        if text.chars().nth(CHARACTERS_MAX).is_some() {
            return Err(reader.fault(format!("more than {CHARACTERS_MAX} characters")));
        }
        let filter = reader.all()?;
        match reader.peek() {
            None => Ok(filter),
            Some(_) => Err(reader.unexpected()),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    /// Bytes read; always at a boundary of characters.
    at: usize,
    depth: usize,
}

type Outcome<T> = Result<T, FilterError>;

impl<'t> Reader<'t> {
    /// Until a closing parenthesis or the end: alternatives, with `AND` or nothing between.
    fn all(&mut self) -> Outcome<Filter> {
        let mut parts = Vec::new();
        self.skip_blanks();
        while !matches!(self.peek(), None | Some(')')) {
            parts.push(self.any()?);
            if self.keyword("AND") && matches!(self.peek(), None | Some(')')) {
                return Err(self.unexpected());
            }
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Filter::All(parts),
        })
    }

    /// One or more, with `OR` between.
    fn any(&mut self) -> Outcome<Filter> {
        let mut parts = vec![self.negated()?];
        while self.keyword("OR") {
            parts.push(self.negated()?);
        }
        Ok(either(parts))
    }

    fn negated(&mut self) -> Outcome<Filter> {
        self.nested(|reader| {
            if reader.keyword("NOT") || reader.symbol("-") {
                return Ok(Filter::Not(Box::new(reader.negated()?)));
            }
            if reader.symbol("(") {
                if reader.peek() == Some(')') {
                    return Err(reader.unexpected());
                }
                let inner = reader.all()?;
                reader.close()?;
                return Ok(inner);
            }
            reader.restriction()
        })
    }

    /// A comparison, or a text to look for everywhere.
    fn restriction(&mut self) -> Outcome<Filter> {
        if self.at_keyword() {
            return Err(self.unexpected());
        }
        let start = self.at;
        let quoted = matches!(self.peek(), Some('"' | '\''));
        let path = self.path()?;
        let end = self.at;
        if self.peek() == Some('(') {
            self.at = start;
            return Err(
                self.fault(format!("the function {} is not supported", &self.text[start..end]))
            );
        }
        self.skip_blanks();
        let Some(operator) = self.operator()? else {
            return match path.as_slice() {
                [text] if quoted => Ok(Filter::Text(text.to_lowercase())),
                _ => Ok(Filter::Text(self.text[start..end].to_lowercase())),
            };
        };
        let path = self.known(path, start)?;
        self.skip_blanks();
        if self.symbol("(") {
            let values = self.values(&path, operator)?;
            self.close()?;
            return Ok(values);
        }
        let value_at = self.at;
        let value = self.value()?;
        let value = self.literal(&path, operator, value, value_at)?;
        Ok(Filter::Compare(Comparison { path, operator, value }))
    }

    /// `(a OR b)`, `(a AND NOT b)`: the comparison is made with each.
    fn values(&mut self, path: &[String], operator: Operator) -> Outcome<Filter> {
        let mut all = Vec::new();
        loop {
            let mut any = vec![self.one_of_values(path, operator)?];
            while self.keyword("OR") {
                any.push(self.one_of_values(path, operator)?);
            }
            all.push(either(any));
            if !self.keyword("AND") && matches!(self.peek(), None | Some(')')) {
                break;
            }
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Filter::All(all),
        })
    }

    fn one_of_values(&mut self, path: &[String], operator: Operator) -> Outcome<Filter> {
        self.nested(|reader| {
            if reader.keyword("NOT") || reader.symbol("-") {
                return Ok(Filter::Not(Box::new(reader.one_of_values(path, operator)?)));
            }
            if reader.symbol("(") {
                let inner = reader.values(path, operator)?;
                reader.close()?;
                return Ok(inner);
            }
            if reader.at_keyword() {
                return Err(reader.unexpected());
            }
            let at = reader.at;
            let value = reader.value()?;
            let value = reader.literal(path, operator, value, at)?;
            reader.skip_blanks();
            Ok(Filter::Compare(Comparison { path: path.to_vec(), operator, value }))
        })
    }

    /// Names with dots between, each bare or quoted.
    fn path(&mut self) -> Outcome<Vec<String>> {
        let mut path = vec![self.segment()?];
        while self.peek() == Some('.') {
            self.at += 1;
            path.push(self.segment()?);
        }
        Ok(path)
    }

    fn segment(&mut self) -> Outcome<String> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let word = self.word(|c| c != '.' && is_bare(c));
                if word.is_empty() { Err(self.unexpected()) } else { Ok(word.to_owned()) }
            }
        }
    }

    fn operator(&mut self) -> Outcome<Option<Operator>> {
        for regular in ["=~", "!~"] {
            if self.rest().starts_with(regular) {
                return Err(self.fault(format!("the operator {regular} is not supported")));
            }
        }
        let known = [
            ("!=", Operator::NotEqual),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
            (":", Operator::Has),
        ];
        Ok(known.into_iter().find(|(text, _)| self.symbol(text)).map(|(_, operator)| operator))
    }

    /// The path with its first name in JSON form.
    fn known(&self, mut path: Vec<String>, at: usize) -> Outcome<Vec<String>> {
        let known = FIELDS.iter().find(|(json, proto)| path[0] == *json || path[0] == *proto);
        let Some((json, _)) = known else {
            return Err(self.fault_at(at, format!("a log entry has no field '{}'", path[0])));
        };
        (*json).clone_into(&mut path[0]);
        Ok(path)
    }

    fn value(&mut self) -> Outcome<Value> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => Ok(Value { text: self.quoted(quote)?, bare: false }),
            _ => {
                let word = self.word(is_bare);
                if word.is_empty() {
                    return Err(self.unexpected());
                }
                if self.peek() == Some(':') {
                    return Err(
                        self.fault(format!("a value with a colon needs quotes, after '{word}'"))
                    );
                }
                Ok(Value { text: word.to_owned(), bare: true })
            }
        }
    }

    fn literal(
        &self,
        path: &[String],
        operator: Operator,
        value: Value,
        at: usize,
    ) -> Outcome<Literal> {
        let Value { text, bare } = value;
        if bare && text == "*" && operator == Operator::Has {
            return Ok(Literal::Anything);
        }
        match path {
            [field] if field == "timestamp" || field == "receiveTimestamp" => match moment(&text) {
                Some(time) => Ok(Literal::Time(time)),
                None => Err(self
                    .fault_at(at, format!("'{text}' is not a time such as 2026-08-21T00:04:13Z"))),
            },
            [field] if field == "severity" => match text.parse() {
                Ok(severity) => Ok(Literal::Severity(severity)),
                Err(_) => Err(self.fault_at(at, format!("'{text}' is not a severity"))),
            },
            _ => Ok(Literal::Text(text.to_lowercase())),
        }
    }

    /// A text in quotes, with the escapes of C.
    fn quoted(&mut self, quote: char) -> Outcome<String> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = characters.next() {
            match c {
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                c if c == quote => {
                    self.at = start + offset + c.len_utf8();
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.fault("the text in quotes does not end".to_owned()))
    }

    /// One more level, if there may be one.
    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Outcome<Filter>) -> Outcome<Filter> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault(format!("more than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let inner = read(self)?;
        self.depth -= 1;
        self.skip_blanks();
        Ok(inner)
    }

    fn close(&mut self) -> Outcome<()> {
        self.skip_blanks();
        if self.symbol(")") { Ok(()) } else { Err(self.unexpected()) }
    }

    fn at_keyword(&self) -> bool {
        ["AND", "OR", "NOT"].into_iter().any(|word| self.starts_with_word(word))
    }

    /// Reads `word` and the blanks behind it, if it stands here on its own.
    fn keyword(&mut self, word: &str) -> bool {
        let found = self.starts_with_word(word);
        if found {
            self.at += word.len();
            self.skip_blanks();
        }
        found
    }

    fn starts_with_word(&self, word: &str) -> bool {
        self.rest()
            .strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(|c| is_bare(c) || "=:!<>".contains(c)))
    }

    /// Reads `symbol` and the blanks behind it, if it stands here.
    fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
            self.skip_blanks();
        }
        found
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// White space and comments.
    fn skip_blanks(&mut self) {
        loop {
            self.word(char::is_whitespace);
            if !self.rest().starts_with("--") {
                return;
            }
            self.word(|c| c != '\n');
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn unexpected(&self) -> FilterError {
        match self.rest().split_whitespace().next() {
            None => self.fault("syntax error: something is missing".to_owned()),
            Some(token) => {
                let token: String = token.chars().take(32).collect();
                self.fault(format!("syntax error, unexpected '{token}'"))
            }
        }
    }

    fn fault(&self, why: String) -> FilterError {
        self.fault_at(self.at, why)
    }

    fn fault_at(&self, at: usize, why: String) -> FilterError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        FilterError { line, column, why }
    }
}

/// A value as written.
struct Value {
    text: String,
    /// Without quotes.
    bare: bool,
}

fn either(mut parts: Vec<Filter>) -> Filter {
    if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) }
}

/// What words without quotes are made of.
fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !"()\"'=!<>:,~".contains(c)
}

/// RFC 3339, or a date, which is its midnight in UTC.
fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{text}T00:00:00Z").parse().ok())
}
