//! Variables and files from secrets: fetched at the start, there for the program, nowhere else.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use groundrun_core::{
    needs::SecretVersion,
    port::{
        Action, AttemptSpec, EnvValue, MountSpec, SecretFault, SecretFaultKind, SecretFile,
        SecretValue, Secrets, VolumeKind, VolumeSpec,
    },
    record::{Cause, Ending, Exit, Fault},
};

use super::{Place, Scenario, Witness, attempt, bounded};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("secrets arrive as variables and as files", arrive),
    ("what a secret holds is fetched at each start", fetched_each_time),
    ("a secret that is missing fails the start in words", missing),
    ("what cannot be a variable fails the start in words", unfit),
    ("a program that runs keeps its secrets without a backend", without_backend),
];

/// What every backend under test asks: secrets of the scenarios' own.
///
/// A version `V` of secret `held` holds `held V`; of secret `counted` how often that one was asked for; of secret `binary`
/// no text. There is no other.
#[derive(Debug, Default)]
pub struct Vault;

static COUNTED: AtomicU32 = AtomicU32::new(0);
static ACCOUNTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Secrets for Vault {
    fn access(
        &self,
        version: &SecretVersion,
        service_account: &str,
    ) -> Result<SecretValue, SecretFault> {
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(service_account.to_owned());
        let bytes = match version.secret.as_str() {
            "held" => format!("held {}", version.version).into_bytes(),
            "counted" => (COUNTED.fetch_add(1, Ordering::Relaxed) + 1).to_string().into_bytes(),
            "binary" => vec![0xff, 0xfe],
            _ => {
                let message = format!("{version} not found.");
                return Err(SecretFault { kind: SecretFaultKind::Missing, message });
            }
        };
        Ok(SecretValue::new(bytes))
    }
}

fn version(secret: &str, version: &str) -> SecretVersion {
    SecretVersion {
        project: "conformance".to_owned(),
        secret: secret.to_owned(),
        version: version.to_owned(),
    }
}

fn with_variable(mut spec: AttemptSpec, name: &str, value: EnvValue) -> AttemptSpec {
    spec.containers[0].env.push((name.to_owned(), value));
    spec
}

fn with_file(mut spec: AttemptSpec, path: &str, version: SecretVersion) -> AttemptSpec {
    let file = SecretFile { path: path.to_owned(), mode: 0o400, version };
    spec.volumes =
        vec![VolumeSpec { name: "secrets".to_owned(), kind: VolumeKind::Secret(vec![file]) }];
    spec.containers[0].mounts = vec![MountSpec {
        volume: "secrets".to_owned(),
        path: "/secrets".to_owned(),
        read_only: false,
    }];
    spec
}

/// Its end, and what it said.
fn run(place: &mut dyn Place, spec: &AttemptSpec) -> (Ending, Vec<String>) {
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Start(Box::new(spec.clone())));
    let ending = witness.ended(spec.id);
    let lines = place.lines(spec.id);
    backend.apply(Action::Forget(spec.id));
    nothing_left(place, spec);
    (ending, lines)
}

fn nothing_left(place: &dyn Place, spec: &AttemptSpec) {
    bounded(|| match place.leftovers(spec.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
}

#[track_caller]
fn assert_good(ending: &Ending) {
    assert!(
        matches!(ending, Ending::Exited { exit: Exit::Code(0), cause: Cause::OnItsOwn, .. }),
        "{ending:?}"
    );
}

fn arrive(place: &mut dyn Place) {
    let spec = attempt(place, &["env"]);
    let spec = with_variable(spec, "ONE", EnvValue::Secret(version("held", "3")));
    let spec = with_variable(spec, "NONE", EnvValue::OptionalSecret(version("gone", "1")));
    let account = spec.service_account.clone();
    let (ending, lines) = run(place, &spec);
    assert_good(&ending);
    assert!(lines.contains(&"ONE=held 3".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("NONE")), "{lines:?}");
    let accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(accounts, BTreeSet::from([account]));
    let spec = attempt(place, &["cat", "/secrets/a/b"]);
    let (ending, lines) = run(place, &with_file(spec, "a/b", version("held", "latest")));
    assert_good(&ending);
    assert_eq!(lines, ["held latest"]);
}

fn fetched_each_time(place: &mut dyn Place) {
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let spec = attempt(place, &["cat", "/secrets/n"]);
        let (ending, lines) = run(place, &with_file(spec, "n", version("counted", "latest")));
        assert_good(&ending);
        seen.extend(lines);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

fn refused(place: &mut dyn Place, spec: &AttemptSpec) -> String {
    let (ending, lines) = run(place, spec);
    assert_eq!(lines, Vec::<String>::new());
    match ending {
        Ending::StartFailed { whose: Fault::Theirs, why, container: None } => why,
        other => panic!("{other:?}"),
    }
}

fn missing(place: &mut dyn Place) {
    let spec = attempt(place, &["env"]);
    let spec = with_variable(spec, "ONE", EnvValue::Secret(version("gone", "1")));
    let spec = with_file(spec, "f", version("lost", "latest"));
    assert_eq!(
        refused(place, &spec),
        "Secret projects/conformance/secrets/gone/versions/1 was not found; \
         Secret projects/conformance/secrets/lost/versions/latest was not found"
    );
}

fn unfit(place: &mut dyn Place) {
    let spec = attempt(place, &["env"]);
    let spec = with_variable(spec, "ONE", EnvValue::Secret(version("binary", "1")));
    let why = refused(place, &spec);
    assert!(why.contains("environment variable ONE: what it holds is not UTF-8 text"), "{why}");
    let spec = with_file(attempt(place, &["cat", "/secrets/f"]), "f", version("binary", "1"));
    assert_good(&run(place, &spec).0);
}

fn without_backend(place: &mut dyn Place) {
    let spec = attempt(place, &["wait-term", "5"]);
    let spec = with_file(spec, "f", version("held", "1"));
    let spec = with_variable(spec, "ONE", EnvValue::Secret(version("held", "1")));
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Start(Box::new(spec.clone())));
    bounded(|| match place.lines(spec.id) {
        lines if lines.is_empty() => Err("it does not wait yet"),
        _ => Ok(()),
    });
    drop(backend);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    backend.apply(Action::Adopt(spec.id));
    backend.apply(Action::Stop { id: spec.id, grace: Duration::from_secs(10) });
    match witness.ended(spec.id) {
        Ending::Exited { exit: Exit::Code(5), cause: Cause::Asked, .. } => {}
        other => panic!("{other:?}"),
    }
    backend.apply(Action::Forget(spec.id));
    nothing_left(place, &spec);
}
