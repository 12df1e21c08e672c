//! Events as they are written: `{"type":"ADDED","object":{…}}` and a line break.

use groundrun_core::{record::Revision, render};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{error::Outcome, fields::Mask, reply};

/// What an event says of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// It is there, or came into the selection.
    Added,
    /// It was there, and is another.
    Modified,
    /// It is not there any more, or left the selection.
    Deleted,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    /// What happened to an object that was or was not in the selection, and is or is not.
    pub(super) fn of(was: bool, is: bool) -> Option<Self> {
        match (was, is) {
            (false, false) => None,
            (false, true) => Some(Self::Added),
            (true, true) => Some(Self::Modified),
            (true, false) => Some(Self::Deleted),
        }
    }
}

/// Writes one event.
pub(crate) fn write<T: Serialize>(
    into: &mut Vec<u8>,
    what: Type,
    object: &T,
    mask: Option<&Mask>,
) -> Outcome<()> {
    #[derive(Serialize)]
    struct Event<'a, T> {
        r#type: &'static str,
        object: &'a T,
    }
    let event = Event { r#type: what.name(), object };
    match mask {
        None => serde_json::to_writer(&mut *into, &event).map_err(reply::unwritable)?,
        Some(mask) => {
            let mut value = serde_json::to_value(&event).map_err(reply::unwritable)?;
            mask.keep(&mut value);
            serde_json::to_writer(&mut *into, &value).map_err(reply::unwritable)?;
        }
    }
    into.push(b'\n');
    Ok(())
}

/// An event without an object: everything up to `revision` was told.
pub(super) fn bookmark(kind: &str, revision: Revision) -> Vec<u8> {
    let metadata = json!({"resourceVersion": render::resource_version(revision)});
    let object = json!({"apiVersion": "run.googleapis.com/v1", "kind": kind, "metadata": metadata});
    line(&json!({"type": "BOOKMARK", "object": object}))
}

/// The last event of a watch that cannot go on. The object is Kubernetes' Status, by which its clients know what to do.
pub(super) fn error(code: u16, reason: &str, message: &str) -> Vec<u8> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    line(&json!({"type": "ERROR", "object": status}))
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}
