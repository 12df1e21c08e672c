//! `services.get` and `services.batchEnable` of Service Usage: everything that is served here is enabled.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use crate::{
    app::App,
    call::{At, Call},
    error::{Outcome, Refusal},
    reply,
};

/// Services in one request; Google allows 20.
const SERVICES_MAX: usize = 20;

pub(crate) async fn service(
    State(app): State<Arc<App>>,
    At((project, service)): At<(String, String)>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let number = app.context(&project)?.number;
    reply::json(&enabled(&number, &service), &shape)
}

/// `{"serviceIds": [...]}`; the answer is an operation that is done.
pub(crate) async fn enable(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let number = app.context(&project)?.number;
    let body = call.json()?;
    let ids: Vec<&str> =
        body["serviceIds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if ids.len() > SERVICES_MAX {
        let text = format!("at most {SERVICES_MAX} services can be enabled at once");
        return Err(Refusal::violation("serviceIds", text));
    }
    let services: Vec<Value> = ids.iter().map(|service| enabled(&number, service)).collect();
    let operation = json!({
        "name": "operations/noop.DONE_OPERATION",
        "done": true,
        "response": {
            "@type": "type.googleapis.com/google.api.serviceusage.v1.BatchEnableServicesResponse",
            "services": services,
        },
    });
    reply::json(&operation, &shape)
}

fn enabled(number: &str, service: &str) -> Value {
    json!({
        "name": format!("projects/{number}/services/{service}"),
        "config": {"name": service},
        "state": "ENABLED",
        "parent": format!("projects/{number}"),
    })
}
