//! Every route on one screen. A verb is what follows the last colon of a path.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{Method, Uri},
    response::Response,
    routing::{get, post},
};
use tower_http::compression::predicate::{Predicate, SizeAbove};

use crate::{
    app::App,
    call::{At, Call},
    error::{Outcome, Refusal},
    executions, health, iam, jobs, keys, logs, platform, reply, secrets, tasks,
};

/// Answered to anyone, without credentials and under any name: they tell nothing but that we are here.
pub(crate) const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// Likewise: a service that checks a task's token has no credentials of ours, and public keys are no secret.
pub(crate) const KEYS: [&str; 3] =
    ["/oauth2/v3/certs", "/oauth2/v1/certs", "/.well-known/openid-configuration"];

/// Google's answer to a path that no method has.
const NO_METHOD: &str = "Method not found.";

#[rustfmt::skip]
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))

        // run.googleapis.com/v1
        .route("/apis/run.googleapis.com/v1/namespaces/{project}/jobs", get(jobs::list).post(jobs::create))
        .route("/apis/run.googleapis.com/v1/namespaces/{project}/jobs/{job}",
            get(jobs::get).put(jobs::replace).delete(jobs::delete).post(job_verb))
        .route("/apis/run.googleapis.com/v1/namespaces/{project}/executions", get(executions::list))
        .route("/apis/run.googleapis.com/v1/namespaces/{project}/executions/{execution}",
            get(executions::get).delete(executions::delete).post(execution_verb))
        .route("/apis/run.googleapis.com/v1/namespaces/{project}/tasks", get(tasks::list))
        .route("/apis/run.googleapis.com/v1/namespaces/{project}/tasks/{task}", get(tasks::get))
        .route("/v1/projects/{project}/locations", get(platform::locations))
        .route("/v1/projects/{project}/locations/{location}", get(platform::location))
        .route("/v1/projects/{project}/locations/{region}/jobs/{job}", get(iam_read).post(iam_verb))

        // secretmanager.googleapis.com/v1
        .route("/v1/projects/{project}/secrets", get(secrets::list).post(secrets::create))
        .route("/v1/projects/{project}/secrets/{secret}",
            get(secret_read).post(secret_verb).patch(secrets::patch).delete(secrets::delete))
        .route("/v1/projects/{project}/secrets/{secret}/versions", get(secrets::list_versions))
        .route("/v1/projects/{project}/secrets/{secret}/versions/{version}", get(version_read).post(version_verb))
        .route("/v1/projects/{project}/locations/{location}/secrets", get(secrets::list).post(secrets::create))
        .route("/v1/projects/{project}/locations/{location}/secrets/{secret}",
            get(secret_read).post(secret_verb).patch(secrets::patch).delete(secrets::delete))
        .route("/v1/projects/{project}/locations/{location}/secrets/{secret}/versions", get(secrets::list_versions))
        .route("/v1/projects/{project}/locations/{location}/secrets/{secret}/versions/{version}",
            get(version_read).post(version_verb))

        // cloudresourcemanager.googleapis.com/v1, serviceusage.googleapis.com/v1, logging.googleapis.com/v2
        .route("/v1/projects/{project}", get(platform::project))
        .route("/v1/projects/{project}/services/{service}", get(platform::service))
        .route("/v1/projects/{project}/services:batchEnable", post(platform::enable))
        .route("/v2/entries:list", post(logs::list))
        .route("/v2/entries:tail", post(logs::tail))

        // the keys of tasks' tokens, as www.googleapis.com and accounts.google.com have theirs
        .route("/oauth2/v3/certs", get(keys::jwks))
        .route("/oauth2/v1/certs", get(keys::pem))
        .route("/.well-known/openid-configuration", get(keys::discovery))

        // where status.logUri leads
        .route("/logs/viewer", get(logs::viewer))

        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(app)
        .layer(tower_http::decompression::RequestDecompressionLayer::new())
        .layer(tower_http::compression::CompressionLayer::new()
            .quality(tower_http::CompressionLevel::Fastest)
            .compress_when(SizeAbove::default().and(reply::is_whole)))
}

async fn job_verb(
    app: State<Arc<App>>,
    At((project, job)): At<(String, String)>,
    call: Call,
) -> Outcome {
    match split_verb(&job) {
        Some((job, "run")) => jobs::run(app, At((project, job.to_owned())), call).await,
        _ => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn execution_verb(
    app: State<Arc<App>>,
    At((project, execution)): At<(String, String)>,
    call: Call,
) -> Outcome {
    match split_verb(&execution) {
        Some((name, "cancel")) => {
            executions::cancel(app, At((project, name.to_owned())), call).await
        }
        _ => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn iam_read(
    app: State<Arc<App>>,
    At((project, region, job)): At<(String, String, String)>,
    call: Call,
) -> Outcome {
    match split_verb(&job) {
        Some((job, "getIamPolicy")) => {
            iam::get(app, At((project, region, job.to_owned())), call).await
        }
        _ => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn iam_verb(
    app: State<Arc<App>>,
    At((project, region, job)): At<(String, String, String)>,
    call: Call,
) -> Outcome {
    match split_verb(&job) {
        Some((job, "setIamPolicy")) => {
            iam::set(app, At((project, region, job.to_owned())), call).await
        }
        Some((job, "testIamPermissions")) => {
            iam::test(app, At((project, region, job.to_owned())), call).await
        }
        _ => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn secret_read(app: State<Arc<App>>, At(path): At<secrets::Path>, call: Call) -> Outcome {
    match split_verb(&path.secret) {
        None => secrets::get(app, At(path), call).await,
        Some((secret, "getIamPolicy")) => secrets::get_policy(app, At(path.of(secret)), call).await,
        Some(_) => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn secret_verb(app: State<Arc<App>>, At(path): At<secrets::Path>, call: Call) -> Outcome {
    match split_verb(&path.secret) {
        Some((secret, "addVersion")) => secrets::add(app, At(path.of(secret)), call).await,
        Some((secret, "setIamPolicy")) => secrets::set_policy(app, At(path.of(secret)), call).await,
        Some((secret, "testIamPermissions")) => {
            secrets::test_permissions(app, At(path.of(secret)), call).await
        }
        _ => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn version_read(app: State<Arc<App>>, At(path): At<secrets::Path>, call: Call) -> Outcome {
    match split_verb(&path.version) {
        None => secrets::get_version(app, At(path), call).await,
        Some((version, "access")) => secrets::access(app, At(path.of_version(version)), call).await,
        Some(_) => Err(Refusal::not_found(NO_METHOD)),
    }
}

async fn version_verb(app: State<Arc<App>>, At(path): At<secrets::Path>, call: Call) -> Outcome {
    let (version, state) = match split_verb(&path.version) {
        Some((version, "enable")) => (version, secrets::State::Enabled),
        Some((version, "disable")) => (version, secrets::State::Disabled),
        Some((version, "destroy")) => (version, secrets::State::Destroyed),
        _ => return Err(Refusal::not_found(NO_METHOD)),
    };
    secrets::set_state(app, At(path.of_version(version)), call, state).await
}

/// Under which names Secret Manager's v1 is asked for too. v1beta2 is the same to the last field, and v1beta1 has less of it
/// (fact: the clients of gcloud 528 and of google-cloud-secret-manager 2.32).
const AS_V1: [&str; 2] = ["/v1beta2", "/v1beta1"];

/// The path and query of v1 for those of a version that is the same.
pub(crate) fn of_v1(uri: &Uri) -> Option<String> {
    let all = uri.path_and_query()?.as_str();
    let rest = AS_V1.iter().find_map(|version| all.strip_prefix(version))?;
    rest.starts_with("/projects/").then(|| format!("/v1{rest}"))
}

/// `j1:run` is `j1` and `run`.
fn split_verb(segment: &str) -> Option<(&str, &str)> {
    segment.rsplit_once(':')
}

/// What is known to exist at Google and is not here is refused by name; 404, since gcloud repeats a 501.
async fn unknown(method: Method, uri: Uri) -> Outcome<Response> {
    let path = uri.path();
    let not_here = [
        ("/v2/projects/", "The Cloud Run Admin API v2 is not served here yet: use v1."),
        ("/v2/entries:", "Of the Logging API only entries:list and entries:tail are served here."),
        ("/v2/", "Of the Logging API only entries:list and entries:tail are served here."),
        ("/apis/serving.knative.dev/", "Cloud Run services are not served here: only jobs are."),
        ("/apis/domains.cloudrun.com/", "Domain mappings are not served here: only jobs are."),
        (
            "/apis",
            "Of Kubernetes' API only run.googleapis.com/v1 jobs, executions and tasks are served here.",
        ),
        (
            "/api",
            "Of Kubernetes' API only run.googleapis.com/v1 jobs, executions and tasks are served here.",
        ),
        ("/batch", "Batch requests are not served here: send them one by one."),
        ("/$discovery/", "The discovery document is not served here: use the client's own copy."),
    ];
    let v1 = path.starts_with("/apis/run.googleapis.com/v1/");
    if v1 && method == Method::PATCH {
        return Err(Refusal::not_found(
            "PATCH is not a method of this API: replace the job with PUT.",
        ));
    }
    let named = not_here.iter().find(|(prefix, _)| path.starts_with(prefix) && !v1);
    Err(Refusal::not_found(named.map_or(NO_METHOD, |(_, text)| text)))
}
