//! `projects.locations.list` of the Run API: the regions that this server is configured with.

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;
use groundrun_api::v1;

use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
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
    let locations =
        regions.into_iter().filter(|region| place::is_region(region)).map(|region| v1::Location {
            name: Some(format!("projects/{project}/locations/{region}")),
            location_id: Some(region.clone()),
            display_name: Some(format!("{region}, on this machine")),
            ..v1::Location::default()
        });
    let list = v1::ListLocationsResponse { locations: locations.collect(), next_page_token: None };
    reply::json(&list, &shape)
}
