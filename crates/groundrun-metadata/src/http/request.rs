//! From a request's head to what is asked for. Nothing here waits or signs.

use std::borrow::Cow;

use hyper::{HeaderMap, Method, StatusCode, Uri};

use super::{
    page,
    tree::{Live, Node},
};

/// The header that is demanded and returned: a web page cannot send it by a link, an image or a form.
pub(super) const FLAVOR: &str = "metadata-flavor";

/// Its value.
pub(super) const GOOGLE: &str = "Google";

/// Bytes of an audience or of a list of scopes. Real ones are URLs of some hundred bytes.
const PARAMETER_MAX: usize = 4096;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Known at once.
    Told(Told),
    /// An access token for these scopes; none: for the default ones.
    Token { scopes: Vec<String> },
    /// An identity token.
    Identity(IdentityAsk),
}

/// What an identity token is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityAsk {
    pub(crate) audience: String,
    /// `format=full`: with what is known of the instance.
    pub(crate) full: bool,
    /// `licenses=TRUE`: with the licences of the instance's images; a task has none.
    pub(crate) licenses: bool,
}

/// An answer that needs nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: String,
    /// Where to, of a redirect.
    pub(super) location: Option<String>,
    /// Whether `Metadata-Flavor: Google` is returned: not with a 403, so that nobody takes that for an answer of a
    /// server that it can use (seen of Cloud Run: dregsy pull request 82).
    pub(super) flavored: bool,
}

pub(super) const TEXT: &str = "application/text";
pub(super) const JSON: &str = "application/json";
pub(super) const HTML: &str = "text/html; charset=UTF-8";

impl Told {
    pub(super) fn new(status: StatusCode, kind: &'static str, body: String) -> Self {
        Self { status, kind, body, location: None, flavored: true }
    }

    fn ok(kind: &'static str, body: String) -> Self {
        Self::new(StatusCode::OK, kind, body)
    }

    pub(super) fn refusal(status: StatusCode, sentence: &str) -> Self {
        Self::new(status, HTML, page::page(status, sentence))
    }

    fn forbidden(sentence: &str) -> Self {
        Self { flavored: false, ..Self::refusal(StatusCode::FORBIDDEN, sentence) }
    }

    /// Google words these without a page.
    fn bad(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, HTML, format!("{text}\n"))
    }

    fn not_found(path: &str) -> Self {
        Self::refusal(StatusCode::NOT_FOUND, &page::not_found(path))
    }
}

/// What the request asks of the tree that `tree` makes.
pub(super) fn ask(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    tree: impl FnOnce() -> Node,
) -> Asked {
    match read(method, uri, headers, tree) {
        Ok(asked) => asked,
        Err(told) => Asked::Told(told),
    }
}

fn read(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    tree: impl FnOnce() -> Node,
) -> Result<Asked, Told> {
    let path = uri.path();
    if headers.contains_key("x-forwarded-for") {
        return Err(Told::forbidden(&page::forwarded(path)));
    }
    if headers.get(FLAVOR).is_none_or(|flavor| flavor != GOOGLE) {
        return Err(Told::forbidden(&page::no_flavor(path)));
    }
    if method != Method::GET && method != Method::HEAD {
        let sentence = page::wrong_method(method.as_str());
        return Err(Told::refusal(StatusCode::METHOD_NOT_ALLOWED, &sentence));
    }
    let decoded = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| Told::not_found(path))?;
    let segments = decoded.split('/').filter(|segment| !segment.is_empty());
    let node = tree().at(segments).ok_or_else(|| Told::not_found(path))?;
    let parameters = Parameters::read(uri.query().unwrap_or_default())?;
    match node {
        Node::Live(Live::Token) => Ok(Asked::Token { scopes: parameters.scopes }),
        Node::Live(Live::Identity) => parameters.identity().map(Asked::Identity),
        Node::Directory(_) if !path.ends_with('/') => Ok(Asked::Told(moved(uri))),
        node => Ok(Asked::Told(parameters.show(&node))),
    }
}

/// A directory's name ends with a slash.
fn moved(uri: &Uri) -> Told {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("{}/{query}", uri.path());
    let body = format!("{to}\n");
    Told { location: Some(to), ..Told::new(StatusCode::MOVED_PERMANENTLY, TEXT, body) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alt {
    Json,
    Text,
}

/// The parameters of a query. Those that nobody here knows are left alone, as Google's server does.
#[derive(Default)]
struct Parameters {
    alt: Option<Alt>,
    recursive: bool,
    scopes: Vec<String>,
    audience: String,
    full: bool,
    licenses: bool,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, Told> {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if value.len() > PARAMETER_MAX {
                return Err(Told::bad(&format!("{name} is longer than {PARAMETER_MAX} bytes")));
            }
            match name.as_ref() {
                "alt" => read.alt = Some(alt(&value)?),
                "recursive" => read.recursive = is_true(&value),
                "scopes" => read.scopes = scopes(&value),
                "audience" => value.trim().clone_into(&mut read.audience),
                "format" => read.full = full(&value)?,
                "licenses" => read.licenses = is_true(&value),
                // What a task is never changes: whoever waited would wait for ever.
                "wait_for_change" if is_true(&value) => {
                    return Err(Told::bad(
                        "wait_for_change is not supported: the metadata of a task never changes",
                    ));
                }
                _ => {}
            }
        }
        Ok(read)
    }

    fn identity(self) -> Result<IdentityAsk, Told> {
        if self.audience.is_empty() {
            return Err(Told::bad("non-empty audience parameter required"));
        }
        Ok(IdentityAsk { audience: self.audience, full: self.full, licenses: self.licenses })
    }

    /// JSON is the default of what is recursive, text of what is not.
    fn show(&self, node: &Node) -> Told {
        let whole = self.recursive && matches!(node, Node::Directory(_));
        let alt = self.alt.unwrap_or(if whole { Alt::Json } else { Alt::Text });
        match (alt, whole) {
            (Alt::Text, false) => Told::ok(TEXT, node.plain()),
            (Alt::Text, true) => Told::ok(TEXT, node.plain_whole()),
            // Only what is live has none, and that is not shown.
            (Alt::Json, false) => Told::ok(JSON, node.json().unwrap_or_default().to_string()),
            (Alt::Json, true) => Told::ok(JSON, node.json_whole().unwrap_or_default().to_string()),
        }
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

fn alt(value: &str) -> Result<Alt, Told> {
    match value {
        "json" => Ok(Alt::Json),
        "text" => Ok(Alt::Text),
        other => Err(Told::bad(&format!("alt is json or text, not '{}'", printable(other)))),
    }
}

fn full(value: &str) -> Result<bool, Told> {
    match value {
        "full" => Ok(true),
        "standard" => Ok(false),
        other => Err(Told::bad(&format!("format is standard or full, not '{}'", printable(other)))),
    }
}

/// Separated by commas, as Google's libraries write them, or by blanks.
fn scopes(value: &str) -> Vec<String> {
    let mut scopes: Vec<String> =
        value.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// A refusal is a page: what it repeats is no markup.
fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) { text.into() } else { "?".into() }
}
