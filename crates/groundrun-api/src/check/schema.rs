//! The table of messages that documents are checked against: names and types, nothing else.
//!
//! One message a line, its fields indented below it as `name type`. Types: `string`, `boolean`,
//! `int32`, `int64`, `bytes`, `timestamp`, `fieldmask`, `any`, `enum(A|B)`, `Message`, `[type]` for
//! lists and `{type}` for maps from strings.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::OnceLock};

/// Messages by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    messages: BTreeMap<String, Vec<Field>>,
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its JSON name, such as `taskCount`.
    pub name: String,
    /// Its name in the proto, such as `task_count`: accepted too, and what paths are made of.
    pub proto: String,
    /// What it holds.
    pub kind: Kind,
    /// The type that faults name: `TYPE_INT32`, or a type URL. Of the elements, for a list.
    pub label: String,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// `true` or `false`.
    Bool,
    /// 32 bits with sign; a number on the wire.
    Int32,
    /// 64 bits with sign; a string on the wire.
    Int64,
    /// Base64.
    Bytes,
    /// RFC 3339.
    Timestamp,
    /// Paths, joined by commas.
    FieldMask,
    /// Any JSON.
    Any,
    /// One of these names.
    Enum(Vec<String>),
    /// Another message of the table.
    Message(String),
    /// A list.
    List(Box<Kind>),
    /// A map from strings.
    Map(Box<Kind>),
}

/// The text is not a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the table: {why}")]
pub struct SchemaError {
    /// From 1; 0 for what concerns the whole.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl Schema {
    /// The jobs part of `run.googleapis.com/v1`.
    pub fn v1() -> &'static Self {
        static TABLE: OnceLock<Schema> = OnceLock::new();
        TABLE.get_or_init(|| {
            include_str!("../v1/schema.txt").parse().expect("a test parses the same text")
        })
    }

    /// The fields of `message`; none of an unknown one.
    #[must_use]
    pub fn fields(&self, message: &str) -> &[Field] {
        self.messages.get(message).map_or(&[], Vec::as_slice)
    }

    /// The names of all messages.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.messages.keys().map(String::as_str)
    }

    /// Every message that is named is there, and none holds itself: documents have the depth of the table.
    fn close(self) -> Result<Self, SchemaError> {
        let mut settled: Vec<&str> = Vec::new();
        while settled.len() < self.messages.len() {
            let next = self.messages.iter().find(|(name, fields)| {
                !settled.contains(&name.as_str())
                    && fields
                        .iter()
                        .filter_map(|field| field.kind.message())
                        .all(|inner| settled.contains(&inner))
            });
            match next {
                Some((name, _)) => settled.push(name),
                None => {
                    let why = "a message holds itself, or one that is not there".to_owned();
                    return Err(SchemaError { line: 0, why });
                }
            }
        }
        Ok(self)
    }
}

impl Kind {
    /// The message that it holds, alone, in a list or in a map.
    fn message(&self) -> Option<&str> {
        match self {
            Self::Message(name) => Some(name),
            Self::List(inner) | Self::Map(inner) => inner.message(),
            _ => None,
        }
    }

    /// The type as faults name it; `owner` and `field` name enums and map entries, as protobuf does.
    fn label(&self, owner: &str, field: &str) -> String {
        match self {
            Self::String => "TYPE_STRING".to_owned(),
            Self::Bool => "TYPE_BOOL".to_owned(),
            Self::Int32 => "TYPE_INT32".to_owned(),
            Self::Int64 => "TYPE_INT64".to_owned(),
            Self::Bytes => "TYPE_BYTES".to_owned(),
            Self::Timestamp => type_url("google.protobuf.Timestamp"),
            Self::FieldMask => type_url("google.protobuf.FieldMask"),
            Self::Any => type_url("google.protobuf.Value"),
            Self::Enum(_) => type_url(&format!("{}.{}", proto_name(owner), upper(field))),
            Self::Message(name) => type_url(&proto_name(name)),
            Self::List(inner) => inner.label(owner, field),
            Self::Map(_) => type_url(&format!("{}.{}Entry", proto_name(owner), upper(field))),
        }
    }
}

impl FromStr for Schema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut messages: BTreeMap<String, Vec<Field>> = BTreeMap::new();
        let mut current: Option<&str> = None;
        for (index, line) in text.lines().enumerate() {
            let fault = |why: &str| SchemaError { line: index + 1, why: why.to_owned() };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(field) = line.strip_prefix("  ") else {
                if messages.insert(line.to_owned(), Vec::new()).is_some() {
                    return Err(fault("the message is there twice"));
                }
                current = Some(line);
                continue;
            };
            let owner = current.ok_or_else(|| fault("a field without a message"))?;
            let (name, kind) =
                field.split_once(' ').ok_or_else(|| fault("a field without a type"))?;
            let kind: Kind = kind.parse().map_err(|()| fault("not a type"))?;
            let label = kind.label(owner, name);
            let field = Field { name: name.to_owned(), proto: snake(name), kind, label };
            messages.entry(owner.to_owned()).or_default().push(field);
        }
        Self { messages }.close()
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let within =
            |open, close| text.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
        if let Some(names) = within("enum(", ")") {
            return Ok(Self::Enum(names.split('|').map(str::to_owned).collect()));
        }
        if let Some(inner) = within("[", "]") {
            return Ok(Self::List(Box::new(inner.parse()?)));
        }
        if let Some(inner) = within("{", "}") {
            return Ok(Self::Map(Box::new(inner.parse()?)));
        }
        match text {
            "string" => Ok(Self::String),
            "boolean" => Ok(Self::Bool),
            "int32" => Ok(Self::Int32),
            "int64" => Ok(Self::Int64),
            "bytes" => Ok(Self::Bytes),
            "timestamp" => Ok(Self::Timestamp),
            "fieldmask" => Ok(Self::FieldMask),
            "any" => Ok(Self::Any),
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Ok(Self::Message(name.to_owned()))
            }
            _ => Err(()),
        }
    }
}

/// As in the table.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Bool => f.write_str("boolean"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::FieldMask => f.write_str("fieldmask"),
            Self::Any => f.write_str("any"),
            Self::Enum(names) => write!(f, "enum({})", names.join("|")),
            Self::Message(name) => f.write_str(name),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::Map(inner) => write!(f, "{{{inner}}}"),
        }
    }
}

fn type_url(proto: &str) -> String {
    format!("type.googleapis.com/{proto}")
}

/// The message's full name in its proto. The discovery document flattens packages; these are the ones that it holds.
fn proto_name(message: &str) -> String {
    match message {
        "GoogleCloudRunV1Condition" => "google.cloud.run.v1.Condition".to_owned(),
        "GoogleRpcStatus" => "google.rpc.Status".to_owned(),
        "Expr" => "google.type.Expr".to_owned(),
        "Policy"
        | "AuditConfig"
        | "AuditLogConfig"
        | "Binding"
        | "SetIamPolicyRequest"
        | "TestIamPermissionsRequest"
        | "TestIamPermissionsResponse" => format!("google.iam.v1.{message}"),
        "Location" | "ListLocationsResponse" => format!("google.cloud.location.{message}"),
        "Secret" | "Replication" | "Automatic" | "UserManaged" | "Replica" => {
            format!("google.cloud.secretmanager.v1.{message}")
        }
        "ListLogEntriesRequest" => format!("google.logging.v2.{message}"),
        _ => format!("google.cloud.run.v1.{message}"),
    }
}

/// `taskCount` to `task_count`, as Google's protobufs have it; what is so already stays.
#[must_use]
pub fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// `taskCount` to `TaskCount`.
fn upper(camel: &str) -> String {
    let mut letters = camel.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_v1_is_one() {
        let spec = Schema::v1().fields("ExecutionSpec");
        let count = spec.iter().find(|field| field.name == "taskCount").unwrap();
        assert_eq!(
            (count.proto.as_str(), &count.kind, count.label.as_str()),
            ("task_count", &Kind::Int32, "TYPE_INT32")
        );
        assert!(Schema::v1().fields("NoSuchMessage").is_empty());
    }

    #[test]
    fn a_type_is_displayed_as_it_is_read() {
        for text in
            ["string", "[{any}]", "{string}", "enum(A|B)", "[Container]", "int64", "fieldmask"]
        {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_broken_table_is_refused_with_its_line() {
        let table = [
            ("  a string", "line 1 of the table: a field without a message"),
            ("A\n  a", "line 2 of the table: a field without a type"),
            ("A\n  a strin", "line 2 of the table: not a type"),
            ("A\nA", "line 2 of the table: the message is there twice"),
            ("A\n  b B", "line 0 of the table: a message holds itself, or one that is not there"),
            (
                "A\n  b [B]\nB\n  a A",
                "line 0 of the table: a message holds itself, or one that is not there",
            ),
        ];
        for (text, wanted) in table {
            assert_eq!(text.parse::<Schema>().unwrap_err().to_string(), wanted);
        }
    }
}
