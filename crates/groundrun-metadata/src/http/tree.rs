//! What is where, as on Cloud Run: `instance/` has `id`, `region`, `service-accounts/` and `zone`, and no attributes.
//!
//! A tree is made per request from a [`TaskIdentity`]; it is a dozen of short texts.

use serde_json::{Map, Value, json};

use crate::identity::Asker;

/// The scope of every token that names none.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A directory, a value, or something that is made when it is asked for.
pub(super) enum Node {
    Directory(Vec<Entry>),
    Text(String),
    Number(u64),
    /// One a line.
    List(Vec<String>),
    Live(Live),
}

/// Made when it is asked for; left out of recursive answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    Token,
    Identity,
}

/// A name in a directory.
pub(super) struct Entry {
    name: String,
    node: Node,
}

fn of(name: &str, node: Node) -> Entry {
    Entry { name: name.to_owned(), node }
}

fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

/// Everything below `/`.
pub(super) fn tree(asker: &Asker) -> Node {
    let Asker { id, identity } = asker;
    let place =
        |kind: &str, name: &str| format!("projects/{}/{kind}/{name}", identity.project_number);
    let account = || {
        Node::Directory(vec![
            of("aliases", Node::List(vec!["default".to_owned()])),
            of("email", text(&identity.service_account)),
            of("identity", Node::Live(Live::Identity)),
            of("scopes", Node::List(vec![CLOUD_PLATFORM.to_owned()])),
            of("token", Node::Live(Live::Token)),
        ])
    };
    let accounts =
        Node::Directory(vec![of(&identity.service_account, account()), of("default", account())]);
    let instance = Node::Directory(vec![
        of("id", Node::Text(id.instance())),
        of("region", Node::Text(place("regions", &identity.region))),
        of("service-accounts", accounts),
        // A region is not a zone: Cloud Run says its first.
        of("zone", Node::Text(place("zones", &format!("{}-1", identity.region)))),
    ]);
    let project = Node::Directory(vec![
        of("numeric-project-id", Node::Number(identity.project_number)),
        of("project-id", text(&identity.project)),
    ]);
    let v1 = Node::Directory(vec![of("instance", instance), of("project", project)]);
    let root = Node::Directory(vec![of("v1", v1)]);
    Node::Directory(vec![of("computeMetadata", root)])
}

impl Node {
    /// The node at `segments` below this one.
    pub(super) fn at<'s>(self, segments: impl IntoIterator<Item = &'s str>) -> Option<Self> {
        segments.into_iter().try_fold(self, |node, segment| match node {
            Self::Directory(entries) => {
                entries.into_iter().find(|entry| entry.name == segment).map(|entry| entry.node)
            }
            _ => None,
        })
    }

    /// As `alt=text`: a value as it is, a list one a line, a directory its names.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Directory(entries) => entries
                .iter()
                .map(|Entry { name, node }| match node {
                    Self::Directory(_) => format!("{name}/\n"),
                    _ => format!("{name}\n"),
                })
                .collect(),
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::List(items) => items.iter().map(|item| format!("{item}\n")).collect(),
            Self::Live(_) => String::new(),
        }
    }

    /// As `alt=json` without `recursive`: of a directory its names.
    pub(super) fn json(&self) -> Option<Value> {
        match self {
            Self::Directory(_) => Some(self.plain().lines().collect()),
            node => node.json_whole(),
        }
    }

    /// As `recursive=true&alt=text`: a line per value, its path before it.
    pub(super) fn plain_whole(&self) -> String {
        let mut lines = String::new();
        self.lines(String::new(), &mut lines);
        lines
    }

    fn lines(&self, path: String, into: &mut String) {
        match self {
            Self::Directory(entries) => {
                let slash = if path.is_empty() { "" } else { "/" };
                for Entry { name, node } in entries {
                    node.lines(format!("{path}{slash}{name}"), into);
                }
            }
            Self::Live(_) => {}
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    into.push_str(&format!("{path}/{index} {item}\n"));
                }
            }
            Self::Text(_) | Self::Number(_) => {
                into.push_str(&format!("{path} {}\n", self.plain()));
            }
        }
    }

    /// As `recursive=true`: everything below. Names become keys in camel case, addresses stay as they are.
    pub(super) fn json_whole(&self) -> Option<Value> {
        Some(match self {
            Self::Directory(entries) => entries
                .iter()
                .filter_map(|entry| Some((key(&entry.name), entry.node.json_whole()?)))
                .collect::<Map<_, _>>()
                .into(),
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::List(items) => json!(items),
            Self::Live(_) => return None,
        })
    }
}

/// `numeric-project-id` is `numericProjectId`.
fn key(name: &str) -> String {
    if name.contains('@') {
        return name.to_owned();
    }
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut key, word| {
        let mut letters = word.chars();
        key.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        key.push_str(letters.as_str());
        key
    })
}
