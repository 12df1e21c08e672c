//! Pages of lists, written item by item: what is held is the text of one page, never the objects of it.

use std::num::NonZeroU32;

use groundrun_api::Selector;
use groundrun_core::{record::Revision, render};
use groundrun_store::{Continue, ListQuery, StoreError, View};
use serde::Serialize;
use serde_json::Map;

use crate::{
    call::Call,
    error::{Outcome, Refusal},
    fields::Mask,
    query::Parameter::{self, Taken, Unsupported},
    reply,
    watch::event::{self, Type},
};

/// A page ends when its text is this long, however many items were asked for: 10,000 plain tasks are 12 MiB, and
/// 10,000 tasks with a spec of 32 MiB must not be built. One item fits always.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// Records read at once: what is held of them beside the page's text.
const CHUNK: usize = 100;

/// What every list takes. The last four are "Not supported by Cloud Run" in the discovery document.
pub(crate) const LIST: [Parameter; 7] = [
    Taken("limit"),
    Taken("continue"),
    Taken("labelSelector"),
    Unsupported("fieldSelector"),
    Unsupported("includeUninitialized"),
    Unsupported("resourceVersion"),
    Unsupported("watch"),
];

/// What a list was asked for.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Which items.
    pub(crate) selector: Selector,
    /// At most so many.
    pub(crate) limit: usize,
    /// From here on.
    pub(crate) from: Option<String>,
    /// The revision of the list's first page.
    pub(crate) begun: Option<Revision>,
}

/// Is there room for more on the page?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Room {
    /// Yes.
    Left,
    /// No.
    Full,
}

impl Wanted {
    /// Reads the list parameters. `default` is the limit where none is given.
    pub(crate) fn read(call: &Call, default: usize) -> Outcome<Self> {
        let selector = call.query.get("labelSelector").unwrap_or_default();
        let selector = selector.parse::<Selector>();
        let selector =
            selector.map_err(|fault| Refusal::violation("labelSelector", fault.to_string()))?;
        let limit = match call.query.number("limit")? {
            None | Some(0) => default,
            Some(limit) => usize::try_from(limit).map_err(|_| {
                Refusal::violation("limit", format!("limit: must not be negative, and is {limit}."))
            })?,
        };
        let (from, begun) = match call.query.get("continue") {
            None => (None, None),
            Some(token) => {
                // Tokens of before have no revision.
                let (token, begun) = match token.split_once('.') {
                    None => (token, None),
                    Some((token, digits)) => {
                        let begun = digits.parse().map_err(|_| not_a_token())?;
                        (token, Some(Revision(begun)))
                    }
                };
                (Some(token.to_owned()), begun)
            }
        };
        Ok(Self { selector, limit, from, begun })
    }

    /// The revision from which a watch goes on behind this list: all its pages have that of the first, so that nothing
    /// is lost which changes between two pages.
    pub(crate) fn revision(&self, view: &View<'_>) -> Outcome<Option<Revision>> {
        if self.from.is_some() { Ok(self.begun) } else { Ok(Some(view.revision()?)) }
    }
}

/// Which part of the records a list is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Project id.
    pub(crate) project: &'a str,
    /// One region, or all.
    pub(crate) region: Option<&'a str>,
}

impl Wanted {
    /// Fetches records and hands them to `each` until the page is full or there are no more; gives the token of the
    /// next page.
    pub(crate) fn walk<T>(
        &self,
        page: &mut Page,
        Place { project, region }: Place<'_>,
        fetch: impl Fn(&ListQuery<'_>) -> Result<groundrun_store::Page<T>, StoreError>,
        mut each: impl FnMut(&mut Page, &T) -> Outcome<Room>,
    ) -> Outcome<Option<String>> {
        let mut after = match &self.from {
            None => None,
            Some(text) => Some(text.parse::<Continue>().map_err(|_| not_a_token())?),
        };
        loop {
            let limit = at_most(page.left().min(CHUNK));
            let query = ListQuery { project, region, selector: &self.selector, limit, after };
            let found = fetch(&query)?;
            for (index, item) in found.items.iter().enumerate() {
                if each(page, item)? == Room::Left {
                    continue;
                }
                let taken = index + 1;
                let next = if taken == found.items.len() {
                    found.next
                } else {
                    // Full by bytes within a chunk: the same chunk, ended here, says where the next page begins.
                    fetch(&ListQuery { limit: at_most(taken), ..query })?.next
                };
                return Ok(next.map(|token| token.to_string()));
            }
            match found.next {
                Some(next) => after = Some(next),
                None => return Ok(None),
            }
        }
    }
}

/// The limit of a query.
pub(crate) fn at_most(count: usize) -> NonZeroU32 {
    u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// 400 for a `continue` that this server did not give.
pub(crate) fn not_a_token() -> Refusal {
    Refusal::violation("continue", "continue: not a token of an earlier page of this list.")
}

/// What a page is written for.
enum Form {
    /// A list of a kind.
    List(&'static str),
    /// The beginning of a watch: events in the parts that the mask selects.
    Events(Option<Mask>),
}

/// One page being written.
pub(crate) struct Page {
    form: Form,
    items: Vec<u8>,
    count: usize,
    limit: usize,
}

impl Page {
    /// An empty page of a list of `kind`, such as `JobsList`.
    pub(crate) fn new(kind: &'static str, limit: usize) -> Self {
        Self { form: Form::List(kind), items: Vec::new(), count: 0, limit }
    }

    /// The objects that there are, each as the event of a watch.
    pub(crate) fn of_events(mask: Option<Mask>) -> Self {
        Self { form: Form::Events(mask), items: Vec::new(), count: 0, limit: usize::MAX }
    }

    /// Room for how many more?
    pub(crate) fn left(&self) -> usize {
        self.limit - self.count
    }

    /// Writes one more item, for which there must be room.
    pub(crate) fn push<T: Serialize>(&mut self, item: &T) -> Outcome<Room> {
        match &self.form {
            Form::Events(mask) => event::write(&mut self.items, Type::Added, item, mask.as_ref())?,
            Form::List(_) => {
                if self.count > 0 {
                    self.items.push(b',');
                }
                serde_json::to_writer(&mut self.items, item).map_err(reply::unwritable)?;
            }
        }
        self.count += 1;
        let full = self.count >= self.limit || self.items.len() >= PAGE_BYTES_MAX;
        Ok(if full { Room::Full } else { Room::Left })
    }

    /// The list's text. `metadata` is always there: gcloud fails without it (fact: gcloud-wire F.2).
    pub(crate) fn finish(self, next: Option<&str>, revision: Option<Revision>) -> Vec<u8> {
        let Form::List(kind) = self.form else { return self.items };
        let mut metadata = Map::new();
        if let Some(token) = next {
            let begun = revision.map(|revision| format!(".{}", revision.0)).unwrap_or_default();
            metadata.insert("continue".to_owned(), format!("{token}{begun}").into());
        }
        if let Some(revision) = revision {
            metadata
                .insert("resourceVersion".to_owned(), render::resource_version(revision).into());
        }
        let head = serde_json::json!({
            "apiVersion": "run.googleapis.com/v1", "kind": kind, "metadata": metadata});
        let mut text = head.to_string().into_bytes();
        if self.count > 0 {
            // The head is an object of three members: its brace is replaced by a fourth.
            text.pop();
            text.extend_from_slice(b",\"items\":[");
            text.extend_from_slice(&self.items);
            text.extend_from_slice(b"]}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_page_is_the_list_that_the_api_defines() {
        let mut page = Page::new("JobsList", 2);
        assert_eq!(page.push(&json!({"a": 1})).expect("writable"), Room::Left);
        assert_eq!(page.push(&json!({"b": 2})).expect("writable"), Room::Full);
        let list: Value =
            serde_json::from_slice(&page.finish(Some("t"), Some(Revision(7)))).expect("JSON");
        let wanted = json!({"apiVersion": "run.googleapis.com/v1", "kind": "JobsList",
            "metadata": {"continue": "t.7", "resourceVersion": "AAAAAAAAAAc"}, "items": [{"a": 1}, {"b": 2}]});
        assert_eq!(list, wanted);
    }

    #[test]
    fn an_empty_page_has_metadata_and_no_items() {
        let list: Value =
            serde_json::from_slice(&Page::new("TasksList", 9).finish(None, None)).expect("JSON");
        let wanted =
            json!({"apiVersion": "run.googleapis.com/v1", "kind": "TasksList", "metadata": {}});
        assert_eq!(list, wanted);
    }

    #[test]
    fn a_page_ends_by_its_bytes_too() {
        let mut page = Page::new("TasksList", 1000);
        let item = "x".repeat(PAGE_BYTES_MAX / 4);
        let pushed = (1..).find(|_| page.push(&item) == Ok(Room::Full)).expect("it ends");
        assert_eq!(pushed, 4);
    }
}
