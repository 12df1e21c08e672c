//! Jobs that name a connector or an interface: what their tasks reach by it, shown on a machine made of network namespaces.
//! And jobs that name a policy for their images, or a key.

use std::{fs, os::unix::fs::PermissionsExt};

use e2e::{
    Lab, images,
    lab::{self, Options, PROJECT},
    town::{BEHIND, NEIGHBOUR, PORT, PUBLIC, Town},
    wait,
};
use serde_json::{Value, json};

/// In every lab here: `conn`, by way of the neighbour.
const CONN: &str = "conn=bridge:br0,range:10.8.0.64/26,subnet:10.8.0.0/24,gateway:10.8.0.2";

/// Says under which address it is seen by whoever answers, and what the services of every task say.
const SCRIPT: &str = "\
ask() { busybox timeout 5 busybox nc $1 $2 </dev/null 2>/dev/null; } 2>/dev/null
metadata() { busybox wget -q -O - --header 'Metadata-Flavor: Google' http://metadata.google.internal/computeMetadata/v1/$1; }
echo \"private $(ask $BEHIND $AT)\"
echo \"public $(ask $PUBLIC $AT)\"
echo \"metadata $(metadata project/project-id)\"
echo \"names $(busybox nslookup metadata.google.internal 169.254.169.254 2>&1 | grep -o '^Address: 169.254.169.254$')\"
";

fn lab(flags: &[&str]) -> Lab {
    let flags = [&["--network", "private"], flags].concat();
    let flags = flags.into_iter().map(str::to_owned).collect();
    Lab::with(Options { flags, ..Options::default() })
}

/// A job whose tasks run a script of the shell, with these annotations of `run.googleapis.com/` on its template.
fn job(lab: &Lab, name: &str, script: &str, annotations: &[(&str, &str)]) -> Value {
    let annotations: serde_json::Map<String, Value> = annotations
        .iter()
        .map(|(name, value)| (format!("run.googleapis.com/{name}"), json!(value)))
        .collect();
    let image = lab.dir().join("busybox");
    if !image.exists() {
        images::busybox(lab.dir());
    }
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": {"template": {"spec": {
            "maxRetries": 0, "timeoutSeconds": "120",
            "containers": [{
                "image": format!("oci:{}", image.display()),
                "command": ["/bin/sh", "-c", script],
                "env": [
                    variable("BEHIND", BEHIND), variable("PUBLIC", PUBLIC),
                    variable("NEIGHBOUR", NEIGHBOUR), variable("AT", &PORT.to_string()),
                ],
            }],
        }}}}},
    })
}

/// What the one task of the job said, line by line.
fn said(lab: &Lab, job: &Value) -> Vec<String> {
    lab.create(job);
    let execution = lab.run(job["metadata"]["name"].as_str().expect("a name"), &json!({}));
    let ended = lab.completed(&execution);
    let log = lab.log(&execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "{log}\n{ended}");
    // After the date, the time and the task.
    let text = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or_default().trim().to_owned();
    log.lines().map(text).collect()
}

#[test]
fn a_private_range_is_reached_by_the_connector_and_a_public_address_directly_unless_all_traffic_is()
{
    let _town = Town::enter();
    let lab = lab(&["--vpc-network", CONN]);
    let plain = said(&lab, &job(&lab, "plain", SCRIPT, &[]));
    let services = [format!("metadata {PROJECT}"), "names Address: 169.254.169.254".to_owned()];
    assert_eq!(plain[..2], ["private", "public 198.51.100.1"]);
    assert_eq!(plain[2..4], services);

    let connector = [("vpc-access-connector", "conn")];
    let connected = said(&lab, &job(&lab, "connected", SCRIPT, &connector));
    assert_eq!(connected[..2], ["private 10.8.0.64", "public 198.51.100.1"]);
    assert_eq!(connected[2..4], services);

    let full = format!("projects/{PROJECT}/locations/us-central1/connectors/conn");
    let all = [("vpc-access-connector", full.as_str()), ("vpc-access-egress", "all-traffic")];
    let all = said(&lab, &job(&lab, "all", SCRIPT, &all));
    assert_eq!(all[..2], ["private 10.8.0.65", "public"], "its network is a dead end");
    assert_eq!(all[2..4], services, "and the services are not in it");

    let interface = [
        ("network-interfaces", r#"[{"network": "conn", "tags": ["web"]}]"#),
        ("vpc-access-egress", "private-ranges-only"),
    ];
    let interface = said(&lab, &job(&lab, "interface", SCRIPT, &interface));
    assert_eq!(interface[..2], ["private 10.8.0.66", "public 198.51.100.1"]);
    lab.finish();
}

#[test]
fn gcloud_names_networks_and_is_told_which_lines_are_missing() {
    let _town = Town::enter();
    let lab = lab(&["--vpc-network", CONN]);
    let image = "--image=builtin.groundrun/job";
    let create = ["run", "jobs", "create"];
    let connected =
        ["one", image, "--args=exit,0", "--vpc-connector=conn", "--vpc-egress=all-traffic"];
    lab.gcloud(&[&create[..], &connected].concat()).well();
    let shown = lab.gcloud(&["run", "jobs", "describe", "one", "--format=export"]).well().out;
    assert!(shown.contains("run.googleapis.com/vpc-access-connector: conn"), "{shown}");
    assert!(shown.contains("run.googleapis.com/vpc-access-egress: all-traffic"), "{shown}");
    lab.gcloud(&["run", "jobs", "execute", "one", "--wait"]).well();
    lab.gcloud(&["run", "jobs", "update", "one", "--clear-vpc-connector"]).well();
    let direct =
        ["two", image, "--args=exit,0", "--network=conn", "--subnet=sub", "--network-tags=web,db"];
    lab.gcloud(&[&create[..], &direct].concat()).well();
    let shown = lab.gcloud(&["run", "jobs", "describe", "two", "--format=json"]).well().json();
    let annotations = &shown["spec"]["template"]["metadata"]["annotations"];
    let interfaces = annotations["run.googleapis.com/network-interfaces"].as_str();
    let interfaces: Value = serde_json::from_str(interfaces.expect("a list")).expect("JSON");
    let expected = json!([{"network": "conn", "subnetwork": "sub", "tags": ["web", "db"]}]);
    assert_eq!(interfaces, expected);
    lab.gcloud(&["run", "jobs", "execute", "two", "--wait"]).well();

    let other = ["three", image, "--vpc-connector=other"];
    let refused = lab.gcloud(&[&create[..], &other].concat()).badly(1);
    for line in [
        "VPC network 'other' is mapped to no network of this machine.",
        "[networks.other]",
        "bridge = \"br0\"",
        "range = \"10.8.0.64/26\"",
    ] {
        assert!(refused.err.contains(line), "{}", refused.err);
    }
    let job = lab.ok("GET", "jobs/three", None);
    let ready = lab::condition(&job, "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("VpcNetworkNotFound"))
    );
    let run = lab.call("POST", &lab.path("jobs/three:run"), Some(&json!({})));
    assert_eq!(run.status, 400, "{}", String::from_utf8_lossy(&run.body));
    lab.finish();
}

#[test]
fn tasks_keep_their_second_interface_while_no_server_lives_and_nobody_gets_its_address() {
    let town = Town::enter();
    let mut lab = lab(&["--vpc-network", CONN]);
    let connector = [("vpc-access-connector", "conn")];
    let long = "while true; do echo \"at $(busybox timeout 5 busybox nc $NEIGHBOUR $AT </dev/null)\"; sleep 0.2; done";
    lab.create(&job(&lab, "long", long, &connector));
    let execution = lab.run("long", &json!({}));
    let lines = |lab: &Lab| lab.log(&execution).matches("at 10.8.0.64").count();
    wait::until("it reaches the neighbour", || (lines(&lab) > 0).then_some(()));
    lab.kill();
    assert!(town.links().lines().any(|line| line.starts_with("gr") && line.contains('_')));
    lab.launch();
    let before = lines(&lab);
    wait::until("it goes on reaching it", || (lines(&lab) > before + 1).then_some(()));
    let other = said(&lab, &job(&lab, "other", SCRIPT, &connector));
    assert_eq!(other[0], "private 10.8.0.65", "the first address is taken");
    lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
    lab.completed(&execution);
    lab.finish();
    let left = town.links();
    assert!(!left.contains("gr"), "{left}");
}

#[test]
fn a_server_that_is_killed_while_tasks_are_attached_leaves_nothing() {
    let town = Town::enter();
    let mut lab = lab(&["--vpc-network", CONN]);
    let mut many = job(
        &lab,
        "many",
        "busybox nc $NEIGHBOUR $AT </dev/null",
        &[("vpc-access-connector", "conn")],
    );
    many["spec"]["template"]["spec"]["taskCount"] = json!(40);
    lab.create(&many);
    let execution = lab.run("many", &json!({}));
    wait::until("some are attached", || town.links().contains('_').then_some(()));
    lab.kill();
    lab.launch();
    let ended = lab.completed(&execution);
    assert_eq!(ended["status"]["succeededCount"], 40, "{ended}");
    let log = lab.log(&execution);
    assert_eq!(log.matches("10.8.0.").count(), 40, "{log}");
    lab.finish();
    let left = town.links();
    assert!(!left.contains("gr"), "{left}");
}

#[test]
fn a_network_of_dockers_is_found_by_asking_docker() {
    let town = Town::enter();
    town.ip("link set br0 name br-4a5e1e4baab8");
    let programs = tempfile::tempdir().expect("a directory");
    let docker = programs.path().join("docker");
    let said_of = r#"[{"Name": "app", "Id": "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b",
        "Driver": "bridge", "Options": {}, "IPAM": {"Config": [{"Subnet": "10.8.0.0/24", "Gateway": "10.8.0.2"}]}}]"#;
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = 'network inspect -- app' ] || exit 1\ncat <<'END'\n{said_of}\nEND\n"
    );
    fs::write(&docker, script).expect("written");
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).expect("it may be executed");
    let path = std::env::var("PATH").unwrap_or_default();
    let settings = programs.path().join("settings.toml");
    let networks = "[networks.conn]\ndocker = \"app\"\nrange = \"10.8.0.64/26\"\n\
        [networks.gone]\ndocker = \"gone\"\nrange = \"10.8.0.128/26\"\n";
    fs::write(&settings, networks).expect("written");
    let lab = Lab::with(Options {
        flags: ["--config", &settings.display().to_string()].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), format!("{}:{path}", programs.path().display()))],
        ..Options::default()
    });
    let connected =
        said(&lab, &job(&lab, "connected", SCRIPT, &[("vpc-access-connector", "conn")]));
    assert_eq!(connected[..2], ["private 10.8.0.64", "public 198.51.100.1"]);
    lab.ok("POST", "jobs", Some(&job(&lab, "gone", SCRIPT, &[("vpc-access-connector", "gone")])));
    let ready = wait::until("it is not ready", || {
        let ready = lab::condition(&lab.ok("GET", "jobs/gone", None), "Ready");
        (ready["status"] == "False").then_some(ready)
    });
    let message = ready["message"].as_str().unwrap_or_default();
    assert!(message.contains("VPC network 'gone' is mapped to Docker's network gone"), "{message}");
    lab.finish();
}

#[test]
fn on_the_machines_network_a_connector_is_refused_by_name() {
    for (network, why) in [("host", "--network host"), ("none", "--network none")] {
        let flags = ["--network", network, "--vpc-network", CONN].map(str::to_owned).to_vec();
        let lab = Lab::with(Options { flags, ..Options::default() });
        let asked = job(&lab, "connected", SCRIPT, &[("vpc-access-connector", "conn")]);
        lab.ok("POST", "jobs", Some(&asked));
        let ready = wait::until("it is not ready", || {
            let ready = lab::condition(&lab.ok("GET", "jobs/connected", None), "Ready");
            (ready["status"] == "False").then_some(ready)
        });
        assert_eq!(ready["reason"], "VpcNetworkNotFound");
        let message = ready["message"].as_str().unwrap_or_default();
        assert!(message.contains("'conn'") && message.contains(why), "{message}");
        lab.finish();
    }
}

#[test]
fn gcloud_names_a_policy_that_is_heeded_and_a_key_that_is_refused_by_name() {
    let files = tempfile::tempdir().expect("a directory");
    let settings = files.path().join("settings.toml");
    let policy = "[binary_authorization.default]\nimages = [\"registry.example/acme/\"]\n";
    fs::write(&settings, policy).expect("written");
    let flags = ["--config", &settings.display().to_string()].map(str::to_owned).to_vec();
    let lab = Lab::with(Options { flags, ..Options::default() });
    let image = "--image=builtin.groundrun/job";
    let create = |name: &str, further: &[&str]| {
        lab.gcloud(&[&["run", "jobs", "create", name, image, "--args=exit,0"], further].concat())
    };
    let refused = create("strict", &["--binary-authorization=default"]).badly(1);
    let why = "Container image 'builtin.groundrun/job' is not authorized by policy 'default'";
    assert!(refused.err.contains(why), "{}", refused.err);
    let ready = lab::condition(&lab.ok("GET", "jobs/strict", None), "Ready");
    assert_eq!(ready["reason"], "ContainerImageUnauthorized");
    let run = lab.call("POST", &lab.path("jobs/strict:run"), Some(&json!({})));
    assert_eq!(run.status, 400, "{}", String::from_utf8_lossy(&run.body));

    create("broken", &["--binary-authorization=default", "--breakglass=a fire"]).well();
    let annotations = lab.ok("GET", "jobs/broken", None)["metadata"]["annotations"].clone();
    assert_eq!(annotations["run.googleapis.com/binary-authorization"], "default");
    assert_eq!(annotations["run.googleapis.com/binary-authorization-breakglass"], "a fire");
    lab.gcloud(&["run", "jobs", "execute", "broken", "--wait"]).well();

    let other =
        create("other", &["--binary-authorization=projects/p/platforms/cloudRun/policies/q"]);
    let other = other.badly(1);
    assert!(other.err.contains("[binary_authorization.q]"), "{}", other.err);
    let ready = lab::condition(&lab.ok("GET", "jobs/other", None), "Ready");
    assert_eq!(ready["reason"], "ContainerImageAuthorizationCheckFailed");

    let key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k";
    let keyed = create("keyed", &["--key", key]).badly(1);
    for part in
        ["run.googleapis.com/encryption-key", "customer-managed encryption keys are not supported"]
    {
        assert!(keyed.err.contains(part), "{}", keyed.err);
    }
    let stored = lab.call("GET", &lab.path("jobs/keyed"), None);
    assert_eq!(stored.status, 404, "nothing is accepted and dropped");
    lab.finish();
}
