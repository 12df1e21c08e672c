//! Pages of lists, written item by item: what is held is the text of one page, never the objects of it.

use std::num::NonZeroU32;

use groundrun_api::Selector;
use groundrun_store::{Continue, ListQuery, StoreError};
use serde::Serialize;

use crate::{
    call::Call,
    error::{Outcome, Refusal},
    query::Parameter::{self, Taken, Unsupported},
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
pub(crate) struct Wanted {
    /// Which items.
    pub(crate) selector: Selector,
    /// At most so many.
    pub(crate) limit: usize,
    /// From here on.
    pub(crate) from: Option<String>,
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
        Ok(Self { selector, limit, from: call.query.get("continue").map(str::to_owned) })
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

/// One page being written.
pub(crate) struct Page {
    kind: &'static str,
    items: Vec<u8>,
    count: usize,
    limit: usize,
}

impl Page {
    /// An empty page of a list of `kind`, such as `JobsList`.
    pub(crate) fn new(kind: &'static str, limit: usize) -> Self {
        Self { kind, items: Vec::new(), count: 0, limit }
    }

    /// Room for how many more?
    pub(crate) fn left(&self) -> usize {
        self.limit - self.count
    }

    /// Writes one more item, for which there must be room.
    pub(crate) fn push<T: Serialize>(&mut self, item: &T) -> Outcome<Room> {
        if self.count > 0 {
            self.items.push(b',');
        }
        serde_json::to_writer(&mut self.items, item).map_err(|fault| {
            tracing::error!(%fault, "an item could not be written");
            Refusal(groundrun_api::ApiError::internal("writing the answer"))
        })?;
        self.count += 1;
        let full = self.count >= self.limit || self.items.len() >= PAGE_BYTES_MAX;
        Ok(if full { Room::Full } else { Room::Left })
    }

    /// The list's text. `metadata` is always there: gcloud fails without it (fact: gcloud-wire F.2).
    pub(crate) fn finish(self, next: Option<&str>) -> Vec<u8> {
        let head = serde_json::json!({"apiVersion": "run.googleapis.com/v1", "kind": self.kind,
            "metadata": next.map_or_else(|| serde_json::json!({}), |token| serde_json::json!({"continue": token}))});
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
        let list: Value = serde_json::from_slice(&page.finish(Some("t"))).expect("JSON");
        let wanted = json!({"apiVersion": "run.googleapis.com/v1", "kind": "JobsList",
            "metadata": {"continue": "t"}, "items": [{"a": 1}, {"b": 2}]});
        assert_eq!(list, wanted);
    }

    #[test]
    fn an_empty_page_has_metadata_and_no_items() {
        let list: Value =
            serde_json::from_slice(&Page::new("TasksList", 9).finish(None)).expect("JSON");
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
