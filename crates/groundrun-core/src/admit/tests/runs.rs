//! `jobs.run`, and the quotas.

use groundrun_api::v1;
use serde_json::{Value, json};

use crate::{
    admit::{room_for_execution, room_for_job, run},
    record::{Failure, Job, ReadinessState},
    samples::{CONTAINER, by_gcloud, context, job, with},
};

fn sieve() -> Job {
    let mut document = by_gcloud();
    for (pointer, value) in [
        ("/spec/template/spec/taskCount", json!(4)),
        ("/spec/template/spec/parallelism", json!(3)),
        (&format!("{CONTAINER}/args"), json!(["old"])),
        (
            &format!("{CONTAINER}/env"),
            json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}]),
        ),
    ] {
        document = with(document, pointer, value);
    }
    job(document)
}

fn ran(job: &Job, overrides: Value) -> Result<v1::ExecutionSpec, String> {
    let request = groundrun_api::decode(json!({"overrides": overrides})).expect("a request");
    run(job, request)
        .map(|run| run.spec.as_ref().clone())
        .map_err(|error| format!("{} {:?}: {error}", error.status.http(), error.status))
}

fn container(job: &Job, overrides: Value) -> v1::Container {
    let spec = ran(job, json!({"containerOverrides": [overrides]})).expect("it is admitted");
    spec.template.and_then(|template| template.spec).expect("a task").containers.remove(0)
}

#[test]
fn an_empty_request_runs_the_job_as_it_is() {
    let job = sieve();
    let run = run(&job, v1::RunJobRequest::default()).expect("it is admitted");
    assert_eq!(run.labels["client.knative.dev/nonce"], "rum_tak_pol");
    assert_eq!(run.annotations["run.googleapis.com/client-name"], "gcloud");
    assert_eq!(run.annotations["run.googleapis.com/execution-environment"], "gen2");
    assert_eq!(
        Some(&*run.spec),
        job.spec.template.as_ref().and_then(|template| template.spec.as_ref())
    );
}

#[test]
fn parallelism_is_clamped_to_the_tasks() {
    let parallelism =
        |job: &Job, overrides| ran(job, overrides).expect("it is admitted").parallelism;
    assert_eq!(parallelism(&sieve(), json!({})), Some(3));
    assert_eq!(parallelism(&sieve(), json!({"taskCount": 2})), Some(2));
    assert_eq!(parallelism(&sieve(), json!({"taskCount": 9})), Some(3));
    assert_eq!(parallelism(&job(by_gcloud()), json!({"taskCount": 9})), Some(9));
    let zero = job(with(by_gcloud(), "/spec/template/spec/parallelism", json!(0)));
    assert_eq!(parallelism(&zero, json!({})), Some(1));
}

#[test]
fn args_replace_and_clear() {
    assert_eq!(container(&sieve(), json!({"args": ["x", "y"]})).args, ["x", "y"]);
    assert_eq!(container(&sieve(), json!({"clearArgs": true})).args, [""; 0]);
    assert_eq!(container(&sieve(), json!({"clearArgs": false})).args, ["old"]);
    assert_eq!(
        ran(&sieve(), json!({"containerOverrides": [{"clearArgs": true, "args": ["x"]}]})),
        Err("400 InvalidArgument: overrides.container_overrides[0].args: must be empty when clear_args is set".into())
    );
}

#[test]
fn variables_are_laid_by_name_existing_first() {
    let env = container(
        &sieve(),
        json!({"env": [{"name": "C", "value": "4"}, {"name": "A", "value": "5"}]}),
    )
    .env;
    let pairs: Vec<_> = env
        .iter()
        .map(|one| {
            format!(
                "{}={}",
                one.name.as_deref().unwrap_or("?"),
                one.value.as_deref().unwrap_or("?")
            )
        })
        .collect();
    assert_eq!(pairs, ["A=1", "B=2", "A=5", "C=4"]);
}

#[test]
fn any_name_means_the_only_container() {
    for name in ["", "job", "worker"] {
        assert_eq!(container(&sieve(), json!({"name": name, "args": ["x"]})).args, ["x"]);
    }
}

#[test]
fn with_several_containers_the_name_must_fit() {
    let mut job = sieve();
    let mut spec = job.spec.as_ref().clone();
    let task = spec.template.as_mut().and_then(|template| template.spec.as_mut());
    let task = task
        .and_then(|execution| execution.template.as_mut())
        .and_then(|template| template.spec.as_mut());
    let containers = &mut task.expect("a task").containers;
    containers.push(containers[0].clone());
    containers[0].name = Some("main".to_owned());
    containers[1].name = Some("side".to_owned());
    job.spec = spec.into();
    let args = |overrides: Value| -> Vec<Vec<String>> {
        let spec = ran(&job, json!({"containerOverrides": [overrides]})).expect("it is admitted");
        let task = spec.template.and_then(|template| template.spec).expect("a task");
        task.containers.into_iter().map(|one| one.args).collect()
    };
    assert_eq!(args(json!({"name": "side", "args": ["x"]})), [["old"], ["x"]]);
    assert_eq!(args(json!({"args": ["x"]})), [["x"], ["old"]]);
    assert_eq!(
        ran(&job, json!({"containerOverrides": [{"name": "gone"}]})),
        Err("400 InvalidArgument: overrides.container_overrides[0].name: Container 'gone' does not exist in the job.".into())
    );
}

#[test]
fn overrides_are_checked_like_the_job() {
    let fault = |overrides| ran(&sieve(), overrides).expect_err("refused");
    assert_eq!(
        fault(json!({"taskCount": -1, "timeoutSeconds": 604_801, "delayExecution": true})),
        "400 InvalidArgument: overrides.task_count: must be a number between 0 and 10000\n\
         overrides.timeout: must be between 0 and 604800 seconds (168 hours), inclusive."
    );
    assert_eq!(
        fault(json!({"containerOverrides": [{"env": [{"name": "PORT", "value": "1"}]}]})),
        "400 InvalidArgument: overrides.container_overrides[0].env: The following reserved env names were provided: \
         PORT. These values are automatically set by the system."
    );
    assert_eq!(
        fault(json!({"containerOverrides": [{"args": vec!["x"; 1001]}]})),
        "400 InvalidArgument: spec.template.spec.task_spec.containers: exceeds the limit on args across all \
         containers, 1000"
    );
    assert_eq!(
        fault(json!({"containerOverrides": [{"args": ["\0"]}]})),
        "400 InvalidArgument: overrides.container_overrides[0].args: must not contain a NUL character"
    );
}

#[test]
fn a_job_in_an_error_state_does_not_run_until_it_is_checked_anew() {
    let mut job = sieve();
    job.readiness.state = ReadinessState::Failed(Failure {
        reason: Some("ContainerMissing".to_owned()),
        message: "Image 'x' not found.".to_owned(),
    });
    assert_eq!(
        ran(&job, json!({})),
        Err("400 FailedPrecondition: Job 'sieve' cannot be run because is in an error state. Please check the job's \
             Ready status condition."
            .into())
    );
    job.generation = 2;
    assert!(ran(&job, json!({})).is_ok());
    job.readiness.state = ReadinessState::Checking;
    assert!(ran(&job, json!({})).is_ok());
}

#[test]
fn quotas_are_1000_jobs_and_1000_running_executions() {
    assert!(room_for_job(999, &context()).is_ok());
    assert!(room_for_execution(999, &context()).is_ok());
    let text = |error: groundrun_api::ApiError| format!("{} {error}", error.status.http());
    assert_eq!(
        room_for_job(1000, &context()).map_err(text),
        Err("429 Quota exceeded for quota metric 'Jobs' and limit 'Jobs per project per region' of service \
             'run.googleapis.com' for consumer 'project_number:420000000042'."
            .into())
    );
    assert_eq!(
        room_for_execution(1000, &context()).map_err(text),
        Err("429 Quota exceeded for quota metric 'Running executions' and limit 'Running executions per project per \
             region' of service 'run.googleapis.com' for consumer 'project_number:420000000042'."
            .into())
    );
}

#[test]
fn a_delayed_execution_is_delayed_by_the_job_or_by_the_override() {
    let delayed =
        |job: &Job, overrides| ran(job, overrides).expect("it is admitted").delay_execution;
    let later = job(with(by_gcloud(), "/spec/template/spec/delayExecution", json!(true)));
    assert_eq!(delayed(&sieve(), json!({})), None);
    assert_eq!(delayed(&sieve(), json!({"delayExecution": true})), Some(true));
    assert_eq!(delayed(&later, json!({})), Some(true));
    assert_eq!(delayed(&later, json!({"delayExecution": false})), Some(false));
}

#[test]
fn the_timeout_of_a_delayed_execution_is_at_most_twelve_hours() {
    let long =
        job(with(by_gcloud(), "/spec/template/spec/template/spec/timeoutSeconds", json!("43201")));
    let rule =
        "must be between 0 and 43200 seconds (12 hours), inclusive, for a delayed execution.";
    let fault = |overrides| ran(&long, overrides).err();
    let expected = |field: &str| Some(format!("400 InvalidArgument: {field}: {rule}"));
    assert_eq!(fault(json!({})), None);
    assert_eq!(fault(json!({"delayExecution": true})), expected("overrides.delay_execution"));
    let both = |seconds: i32| json!({"delayExecution": true, "timeoutSeconds": seconds});
    assert_eq!(fault(both(43_200)), None);
    assert_eq!(fault(both(43_201)), expected("overrides.timeout"));
    let too_long = ran(&long, both(604_801)).expect_err("it is refused");
    assert_eq!(too_long.lines().count(), 1, "one fault is told once: {too_long}");
}
