//! `projects.locations.list` of the Run API and of Secret Manager: the regions that this server is configured with. And
//! `projects.locations.get` of Secret Manager, which keeps secrets in any region.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;
use groundrun_api::v1;

use crate::{
    app::App,
    call::{At, Call},
    error::{Outcome, Refusal},
    place,
    query::Parameter::{Ignored, Taken, Unsupported},
    reply,
};

pub(crate) async fn locations(
    State(app): State<Arc<App>>,
    At(project): At<String>,
    call: Call,
) -> Outcome {
    // There is one page.
    let shape = call.shape(&[
        Taken("pageSize"),
        Taken("pageToken"),
        Ignored("filter"),
        Unsupported("extraLocationTypes"),
    ])?;
    call.query.number("pageSize")?;
    let project = app.context(&project)?.project;
    let regions: BTreeSet<&String> =
        app.config.regions.iter().chain([&app.config.region]).collect();
    let locations = regions
        .into_iter()
        .filter(|region| place::is_region(region))
        .map(|region| shown(&project, region));
    let list = v1::ListLocationsResponse { locations: locations.collect(), next_page_token: None };
    reply::json(&list, &shape)
}

pub(crate) async fn location(
    State(app): State<Arc<App>>,
    At((project, location)): At<(String, String)>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let project = app.context(&project)?.project;
    if !place::is_region(&location) {
        let text = format!(
            "Location projects/{project}/locations/{location} is not found: it is no region."
        );
        return Err(Refusal::not_found(text));
    }
    reply::json(&shown(&project, &location), &shape)
}

fn shown(project: &str, region: &str) -> v1::Location {
    v1::Location {
        name: Some(format!("projects/{project}/locations/{region}")),
        location_id: Some(region.to_owned()),
        display_name: Some(format!("{region}, on this machine")),
        ..v1::Location::default()
    }
}
