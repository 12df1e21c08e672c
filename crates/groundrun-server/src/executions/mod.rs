//! `namespaces.executions`: one file per method.

mod cancel;
mod delete;
mod get;
mod list;

use std::collections::BTreeMap;

pub(crate) use cancel::cancel;
pub(crate) use delete::delete;
pub(crate) use get::get;
pub(crate) use list::{fill, list, serving_state, take_own};

use groundrun_api::ApiError;
use groundrun_core::{record::Execution, render};
use groundrun_store::{StoreError, View};

use crate::app::Place;

/// Project and execution of the path.
type Path = (String, String);

/// The execution of this name, or 404.
pub(crate) fn find(
    view: &View<'_>,
    name: &str,
    place: &Place,
) -> Result<Result<Execution, ApiError>, StoreError> {
    let found = view.execution(&place.scope, name)?;
    Ok(found.ok_or_else(|| ApiError::execution_not_found(name, place.words())))
}

/// A label of the index alone, by which an execution is found whatever its region. No client can select by it or set
/// it: a key has no blanks.
pub(crate) const OWN_NAME: &str = "own name";

/// The labels that the store selects by.
pub(crate) fn indexed_labels(execution: &Execution) -> BTreeMap<String, String> {
    let mut labels = render::execution_labels(execution);
    labels.insert(OWN_NAME.to_owned(), execution.name.clone());
    labels
}
