//! `Probe`: when a container counts as started. Ranges, and the defaults that are written into the spec (fact: semantics
//! 2.3, and the descriptions of the discovery document).

use groundrun_api::v1::{Container, GrpcAction, HttpGetAction, HttpHeader, Probe, TcpSocketAction};

use super::faults::Faults;

const SECONDS_MAX: i32 = 240;
const DEFAULT_TIMEOUT_SECONDS: i32 = 1;
const DEFAULT_PERIOD_SECONDS: i32 = 10;
const DEFAULT_FAILURE_THRESHOLD: i32 = 3;
/// Of a container that names none.
const DEFAULT_PORT: i32 = 8080;
const DEFAULT_PATH: &str = "/";
/// As Kubernetes has it, whose words Cloud Run's are.
const HEADER_RULE: &str =
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name')";

/// The container's startup probe as given plus defaults; `path` is the container's.
pub(super) fn startup(path: &str, container: &Container, faults: &mut Faults) -> Option<Probe> {
    let probe = container.startup_probe.clone()?;
    let path = format!("{path}.startup_probe");
    action(&path, &probe, faults);
    times(&path, &probe, faults);
    Some(filled(probe, port_of(container)))
}

/// Where the container says that it listens.
fn port_of(container: &Container) -> i32 {
    let named = container.ports.first().and_then(|port| port.container_port);
    named.filter(|port| *port != 0).unwrap_or(DEFAULT_PORT)
}

fn action(path: &str, probe: &Probe, faults: &mut Faults) {
    let actions = [
        probe.exec.is_some(),
        probe.grpc.is_some(),
        probe.http_get.is_some(),
        probe.tcp_socket.is_some(),
    ];
    if actions.into_iter().filter(|set| *set).count() != 1 {
        faults.add(path, "Exactly one probe action must be set");
    }
    if probe.exec.is_some() {
        faults.add(format!("{path}.exec"), "exec probes are not supported");
    }
    let ports = [
        ("grpc", probe.grpc.as_ref().and_then(|action| action.port)),
        ("http_get", probe.http_get.as_ref().and_then(|action| action.port)),
        ("tcp_socket", probe.tcp_socket.as_ref().and_then(|action| action.port)),
    ];
    for (action, port) in ports {
        if port.is_some_and(|port| !(0..=65535).contains(&port)) {
            faults
                .add(format!("{path}.{action}.port"), "if specified, must be between 1 and 65535");
        }
    }
    let service = probe.grpc.as_ref().and_then(|action| action.service.as_deref());
    if service.is_some_and(|service| service.contains(char::is_control)) {
        faults.add(format!("{path}.grpc.service"), "must not contain control characters");
    }
    if let Some(action) = &probe.http_get {
        request(&format!("{path}.http_get"), action, faults);
    }
}

/// What would not be one request of HTTP/1.1.
fn request(path: &str, action: &HttpGetAction, faults: &mut Faults) {
    let target = action.path.as_deref().unwrap_or_default();
    let printable = |c: char| c.is_ascii_graphic();
    let well_formed = target.starts_with('/') && target.chars().all(printable);
    if !target.is_empty() && !well_formed {
        faults.add(
            format!("{path}.path"),
            "must begin with '/' and have printable ASCII characters other than blanks only",
        );
    }
    for (n, HttpHeader { name, value }) in action.http_headers.iter().enumerate() {
        let name = name.as_deref().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(allowed) {
            faults.add(format!("{path}.http_headers[{n}].name"), HEADER_RULE);
        }
        let bad = |c: char| c.is_control() && c != '\t';
        if value.as_deref().unwrap_or_default().contains(bad) {
            faults.add(
                format!("{path}.http_headers[{n}].value"),
                "must not contain control characters",
            );
        }
    }
}

fn times(path: &str, probe: &Probe, faults: &mut Faults) {
    let seconds = [
        ("initial_delay_seconds", probe.initial_delay_seconds),
        ("period_seconds", probe.period_seconds),
        ("timeout_seconds", probe.timeout_seconds),
    ];
    for (field, value) in seconds {
        if value.is_some_and(|value| !(0..=SECONDS_MAX).contains(&value)) {
            faults.add(path, format!("{field} must be a number between 0 and {SECONDS_MAX}"));
        }
    }
    let timeout = set(probe.timeout_seconds).unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    if timeout > set(probe.period_seconds).unwrap_or(DEFAULT_PERIOD_SECONDS) {
        // Equal ones are accepted: Google's own default is 240 and 240.
        faults.add(format!("{path}.timeout_seconds"), "must be less than period_seconds");
    }
    if probe.failure_threshold.is_some_and(|count| count < 0) {
        faults.add(format!("{path}.failure_threshold"), "Must be a positive number if set");
    }
    if set(probe.success_threshold).is_some_and(|count| count != 1) {
        faults.add(path, "success_threshold must be 1");
    }
}

/// 0 is not set.
fn set(value: Option<i32>) -> Option<i32> {
    value.filter(|value| *value != 0)
}

fn filled(probe: Probe, port: i32) -> Probe {
    let port = |given: Option<i32>| Some(set(given).unwrap_or(port));
    Probe {
        failure_threshold: Some(set(probe.failure_threshold).unwrap_or(DEFAULT_FAILURE_THRESHOLD)),
        grpc: probe.grpc.map(|action| GrpcAction { port: port(action.port), ..action }),
        http_get: probe.http_get.map(|action| HttpGetAction {
            path: action.path.filter(|path| !path.is_empty()).or(Some(DEFAULT_PATH.to_owned())),
            port: port(action.port),
            ..action
        }),
        period_seconds: Some(set(probe.period_seconds).unwrap_or(DEFAULT_PERIOD_SECONDS)),
        tcp_socket: probe
            .tcp_socket
            .map(|action| TcpSocketAction { port: port(action.port), ..action }),
        timeout_seconds: Some(set(probe.timeout_seconds).unwrap_or(DEFAULT_TIMEOUT_SECONDS)),
        ..probe
    }
}
