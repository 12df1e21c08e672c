//! What to do about a job that is not Ready, where its message does not say it itself: of secrets it has Google's words.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    exit::Stop,
    output::{condition, text},
};
use crate::client::{Client, ClientError};

/// The secrets of `project` that a message says are not there, each once.
fn missing<'m>(message: &'m str, project: &str) -> BTreeSet<&'m str> {
    let secret = |line: &'m str| {
        let (_, name) = line.split_once("Secret projects/")?;
        let (name, _) = name.split_once(" was not found")?;
        let (secret, _) =
            name.strip_prefix(project)?.strip_prefix("/secrets/")?.split_once("/versions/")?;
        Some(secret)
    };
    message.lines().filter_map(secret).collect()
}

/// The line for a run, which has its secrets to itself.
pub(crate) fn of_run(message: &str, project: &str) -> Option<String> {
    let missing = missing(message, project);
    let flags: Vec<String> =
        missing.iter().map(|secret| format!("--secret {secret}=@FILE")).collect();
    (!flags.is_empty()).then(|| format!("give this run what files hold: {}", flags.join(" ")))
}

/// The lines for a server.
pub(crate) fn of_server(message: &str, project: &str) -> Vec<String> {
    let set = |secret: &&str| format!("groundrun secrets set {secret} --from-file FILE");
    missing(message, project).iter().map(set).collect()
}

/// A refusal to execute a job, with what the job's Ready condition says where that is the cause.
pub(crate) async fn told(client: &Client, job: &str, project: &str, refusal: ClientError) -> Stop {
    let unready =
        matches!(&refusal, ClientError::Refused { status, .. } if status == "FAILED_PRECONDITION");
    let mut stop = Stop::from(refusal);
    if unready && let Ok(job) = client.job(job).await {
        stop.lines.extend(why(&job, project));
    }
    stop
}

/// Why a job is not Ready and, in lines of their own, what to do; nothing where it is.
fn why(job: &Value, project: &str) -> Option<String> {
    let ("False", message) = condition(job, "Ready") else { return None };
    let first = format!("job {} is not ready: {message}", text(job, &["metadata", "name"]));
    Some([vec![first], of_server(message, project)].concat().join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MESSAGE: &str = "a.b: Secret projects/p/secrets/one/versions/latest was not found\n\
        a.c: Secret projects/p/secrets/one/versions/2 was not found\n\
        a.d: Secret projects/p/secrets/two/versions/latest was not found\n\
        a.e: Secret projects/other/secrets/three/versions/latest was not found\n\
        Permission denied on secret: projects/p/secrets/four/versions/latest for Revision service account a@p.";

    #[test]
    fn each_missing_secret_has_a_line_that_sets_it() {
        let run = "give this run what files hold: --secret one=@FILE --secret two=@FILE";
        assert_eq!(of_run(MESSAGE, "p").as_deref(), Some(run));
        let server =
            ["one", "two"].map(|it| format!("groundrun secrets set {it} --from-file FILE"));
        assert_eq!(of_server(MESSAGE, "p"), server);
        assert_eq!(of_run("VPC network 'conn' is mapped to no network", "p"), None);
    }

    #[test]
    fn a_job_that_is_ready_has_nothing_to_add() {
        let job = |status: &str| {
            let ready = json!({"type": "Ready", "status": status, "message": MESSAGE});
            json!({"metadata": {"name": "j"}, "status": {"conditions": [ready]}})
        };
        assert_eq!(why(&job("True"), "p"), None);
        let told = why(&job("False"), "p").expect("it is not");
        assert!(told.starts_with("job j is not ready: a.b: Secret projects/p"), "{told}");
        assert!(told.ends_with("\ngroundrun secrets set two --from-file FILE"), "{told}");
    }
}
