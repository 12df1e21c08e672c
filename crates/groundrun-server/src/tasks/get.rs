//! `namespaces.tasks.get`.

use std::sync::Arc;

use axum::extract::State;
use groundrun_api::ApiError;
use groundrun_core::render;

use super::walk::task_count;
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
};

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    At((project, name)): At<(String, String)>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let place = app.place(&project, call.regions.one())?;
    let task = app
        .read(move |view| {
            let missing = || ApiError::task_not_found(&name, place.words());
            let (execution, index) = split(&name).ok_or_else(missing)?;
            let execution = view.execution(&place.scope, execution)?.ok_or_else(missing)?;
            if index >= task_count(&execution) {
                return Err(missing().into());
            }
            let attempts = view.attempts_of_task(execution.uid, index)?;
            Ok(render::task(&execution, index, &attempts, &place.context))
        })
        .await?;
    reply::json(&task, &shape)
}

/// `j1-abcde-task7` is `j1-abcde` and 7, in that one spelling.
pub(crate) fn split(name: &str) -> Option<(&str, u32)> {
    let (execution, digits) = name.rsplit_once("-task")?;
    let index: u32 = digits.parse().ok()?;
    (index.to_string() == digits).then_some((execution, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_after_its_execution_and_index() {
        assert_eq!(split("j1-abcde-task0"), Some(("j1-abcde", 0)));
        assert_eq!(split("my-task1-abcde-task12"), Some(("my-task1-abcde", 12)));
        for none in ["j1-abcde", "j1-task", "j1-task-1", "j1-task01", "j1-task+1", ""] {
            assert_eq!(split(none), None, "{none:?}");
        }
    }
}
