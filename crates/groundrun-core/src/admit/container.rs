//! `Container`: names, image, environment and ports. What it may use is in `limits`, when it has started in
//! `probe`.

use groundrun_api::v1::{Container, EnvVar, ResourceRequirements};

use super::{faults::Faults, limits, probe, secret, task::TASK};

/// Environment variables of all containers together; so many arguments, too.
const ENV_MAX: usize = 1000;
const ARGS_MAX: usize = 1000;
const ENV_VALUE_MAX: usize = 32_768;

/// Set by the system (fact: semantics 2.3).
const RESERVED_ENV: [&str; 6] = [
    "PORT",
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_EXECUTION",
    "CLOUD_RUN_TASK_INDEX",
    "CLOUD_RUN_TASK_ATTEMPT",
    "CLOUD_RUN_TASK_COUNT",
];

/// Where the container's termination message is read.
const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";

/// The container as given plus defaults. An absent name is `""`, as gcloud writes it: it shows `None` for an absent one.
pub(super) fn admit(index: usize, given: Container, faults: &mut Faults) -> Container {
    let path = format!("{TASK}.containers[{index}]");
    name(&path, given.name.as_deref().unwrap_or_default(), faults);
    image(index, given.image.as_deref().unwrap_or_default(), faults);
    words(&path, &given, faults);
    env(&format!("spec.template.spec.containers[{index}].env"), &given.env, faults);
    secret::variables(&path, &given.env, faults);
    ports(&path, &given, faults);
    let startup_probe = probe::startup(&path, &given, faults);
    termination_message(index, &given, faults);
    let resources = given.resources.unwrap_or_default();
    let limits = limits::with_defaults(resources.limits);
    Container {
        name: Some(given.name.unwrap_or_default()),
        resources: Some(ResourceRequirements { limits, ..resources }),
        startup_probe,
        ..given
    }
}

/// What all containers may have together.
pub(super) fn totals(containers: &[Container], faults: &mut Faults) {
    let field = format!("{TASK}.containers");
    if containers.iter().map(|one| one.args.len()).sum::<usize>() > ARGS_MAX {
        faults.add(&field, format!("exceeds the limit on args across all containers, {ARGS_MAX}"));
    }
    if containers.iter().map(|one| one.env.len()).sum::<usize>() > ENV_MAX {
        faults
            .add(&field, format!("exceeds the limit on EnvVars across all containers, {ENV_MAX}"));
    }
}

fn name(path: &str, name: &str, faults: &mut Faults) {
    if !name.is_empty() && !is_name(name) {
        faults.add(format!("{path}.name"), "must conform to RFC 1123 and be at most 63 characters");
    }
}

/// Labels of RFC 1123 with dots between them.
pub(super) fn is_name(name: &str) -> bool {
    let label = |text: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !text.is_empty()
            && text.chars().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    name.len() <= 63 && name.split('.').all(label)
}

fn image(index: usize, image: &str, faults: &mut Faults) {
    let field = format!("job.spec.template.spec.containers[{index}].image");
    if image.is_empty() {
        faults.add(field, "must provide an image name to deploy");
    } else if !super::image::is_path(image) {
        faults.add(field, format!("'{image}' must be a container image path"));
    }
}

/// What the kernel could not be told.
fn words(path: &str, given: &Container, faults: &mut Faults) {
    let nul = |text: &String| text.contains('\0');
    let fields = [
        ("command", given.command.iter().any(nul)),
        ("args", given.args.iter().any(nul)),
        ("working_dir", given.working_dir.iter().any(nul)),
    ];
    for (field, _) in fields.into_iter().filter(|(_, has_nul)| *has_nul) {
        faults.add(format!("{path}.{field}"), "must not contain a NUL character");
    }
}

/// The rules for the environment of one container, or of one override.
pub(super) fn env(field: &str, given: &[EnvVar], faults: &mut Faults) {
    let name = |one: &EnvVar| one.name.clone().unwrap_or_default();
    let reserved: Vec<_> =
        given.iter().map(name).filter(|name| RESERVED_ENV.contains(&name.as_str())).collect();
    if !reserved.is_empty() {
        let names = reserved.join(", ");
        faults.add(
            field,
            format!(
                "The following reserved env names were provided: {names}. \
                 These values are automatically set by the system."
            ),
        );
    }
    for (n, one) in given.iter().enumerate() {
        let name = name(one);
        if name.is_empty() || name.contains(['=', '\0']) {
            faults.add(format!("{field}[{n}].name"), "must be set, without '=' and NUL characters");
        }
        let value = one.value.as_deref().unwrap_or_default();
        if value.len() > ENV_VALUE_MAX {
            faults.add(
                format!("{field}[{n}].value"),
                format!("length cannot exceed {ENV_VALUE_MAX}"),
            );
        }
        if value.contains('\0') {
            faults.add(format!("{field}[{n}].value"), "must not contain a NUL character");
        }
    }
}

fn ports(path: &str, given: &Container, faults: &mut Faults) {
    if given.ports.len() > 1 {
        faults.add(format!("{path}.ports"), "ports should contain 0 or 1 port");
    }
    for (n, port) in given.ports.iter().enumerate() {
        if !(0..=65535).contains(&port.container_port.unwrap_or_default()) {
            faults.add(
                format!("{path}.ports[{n}].container_port"),
                "must be 0 or a number between 1 and 65535",
            );
        }
        if !["", "http1", "h2c"].contains(&port.name.as_deref().unwrap_or_default()) {
            faults.add(format!("{path}.ports[{n}].name"), "must be one of empty, 'http1' or 'h2c'");
        }
    }
}

/// Where and how the message is read cannot be chosen yet.
fn termination_message(index: usize, given: &Container, faults: &mut Faults) {
    let path = format!("spec.template.spec.template.spec.containers[{index}]");
    let place = given.termination_message_path.as_deref().unwrap_or_default();
    if !["", TERMINATION_MESSAGE_PATH].contains(&place) {
        faults.add(
            format!("{path}.terminationMessagePath"),
            format!("only {TERMINATION_MESSAGE_PATH} is supported yet."),
        );
    }
    let policy = given.termination_message_policy.as_deref().unwrap_or_default();
    if !["", "File"].contains(&policy) {
        faults.add(
            format!("{path}.terminationMessagePolicy"),
            "only File is supported yet: the end of the log is not copied.",
        );
    }
}
