//! Images from a real registry, from layouts and archives, made of Debian's packages, doing real work.

use std::{fs, process::Command};

use e2e::{Lab, clients, images, lab, registry::Registry};
use serde_json::{Value, json};

fn job(name: &str, image: &str, command: &[&str], args: &[&str]) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"template": {"spec": {
            "containers": [{"image": image, "command": command, "args": args}], "maxRetries": 0,
        }}}}},
    })
}

fn log(lab: &Lab, execution: &str) -> String {
    lab.groundrun(&["logs", execution]).well().out
}

#[test]
fn busybox_runs_from_a_registry_a_layout_and_an_archive() {
    let lab = Lab::start();
    let layout = images::busybox(lab.dir());
    let registry = Registry::start(lab.dir());
    let archive = lab.dir().join("busybox.tar");
    clients::run(
        Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy"])
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("docker-archive:{}:busybox:latest", archive.display())),
    )
    .well();
    let references = [
        registry.push(&layout, "tools/busybox:1"),
        format!("oci:{}:latest", layout.display()),
        format!("docker-archive:{}", archive.display()),
    ];
    for (index, reference) in references.iter().enumerate() {
        let name = format!("busybox-{index}");
        lab.create(&job(
            &name,
            reference,
            &["sh", "-c", "echo $FROM_IMAGE $CLOUD_RUN_JOB; id -u; hostname"],
            &[],
        ));
        let execution = lab.run(&name, &json!({}));
        let ended = lab.completed(&execution);
        assert_eq!(ended["status"]["succeededCount"], 1, "{ended}\n{}", log(&lab, &execution));
        let log = log(&lab, &execution);
        assert!(log.contains(&format!("yes {name}")) && log.contains(&execution), "{log}");
    }
    lab.finish();
}

#[test]
fn a_tag_is_resolved_once_per_execution_and_survives_a_registry_that_is_down() {
    let lab = Lab::start();
    let layout = images::busybox(lab.dir());
    let registry = Registry::start(lab.dir());
    let reference = registry.push(&layout, "moving:latest");
    lab.create(&job("moving", &reference, &["echo", "first"], &[]));
    let execution = lab.run("moving", &json!({}));
    assert_eq!(lab.completed(&execution)["status"]["succeededCount"], 1);
    drop(registry);
    let execution = lab.run("moving", &json!({}));
    let ended = lab.completed(&execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "the digest is known: {ended}");
    let conditions = ended["status"]["conditions"].as_array().expect("conditions");
    assert!(
        conditions.iter().any(|c| c["severity"] == "Warning"),
        "the stale digest is told: {ended}"
    );
    lab.finish();
}

#[test]
fn python_does_real_work() {
    let lab = Lab::start();
    let layout = images::python(lab.dir());
    let registry = Registry::start(lab.dir());
    let reference = registry.push(&layout, "science/python:3.11");
    let program = "
import hashlib, json, os, sqlite3
index, count = int(os.environ['CLOUD_RUN_TASK_INDEX']), int(os.environ['CLOUD_RUN_TASK_COUNT'])
db = sqlite3.connect('/tmp/work.db')
db.execute('create table t (n integer, h text)')
db.executemany('insert into t values (?, ?)', [(n, hashlib.sha256(str(n).encode()).hexdigest()) for n in range(index, 1000, count)])
db.commit()
print(json.dumps({'message': 'hashed', 'rows': db.execute('select count(*) from t').fetchone()[0], 'severity': 'NOTICE'}))
";
    let mut document = job("science", &reference, &[], &["-c", program]);
    document["spec"]["template"]["spec"]["taskCount"] = json!(4);
    lab.create(&document);
    let execution = lab.run("science", &json!({}));
    let ended = lab.completed(&execution);
    assert_eq!(ended["status"]["succeededCount"], 4, "{ended}\n{}", log(&lab, &execution));
    let body = json!({
        "resourceNames": [format!("projects/{}", lab::PROJECT)],
        "filter": format!("labels.\"run.googleapis.com/execution_name\"={execution} AND severity=NOTICE"),
    });
    let entries = lab.call("POST", "/v2/entries:list", Some(&body)).json();
    let entries = entries["entries"].as_array().expect("entries").clone();
    assert_eq!(entries.len(), 4, "{entries:?}");
    assert!(entries.iter().all(|e| e["jsonPayload"]["rows"] == 250), "{entries:?}");
    lab.finish();
}

#[test]
fn a_layer_is_unpacked_as_umoci_unpacks_it() {
    let lab = Lab::start();
    let layout = images::busybox(lab.dir());
    let bundle = lab.dir().join("bundle");
    clients::run(
        Command::new("umoci")
            .args(["unpack", "--image"])
            .arg(format!("{}:latest", layout.display()))
            .arg(&bundle),
    )
    .well();
    let reference = format!("oci:{}:latest", layout.display());
    lab.create(&job("unpacked", &reference, &["true"], &[]));
    let execution = lab.run("unpacked", &json!({}));
    assert_eq!(lab.completed(&execution)["status"]["succeededCount"], 1);
    let list = |root: &std::path::Path| {
        let said = clients::run(Command::new("find").arg(root).args([
            "-mindepth",
            "1",
            "-printf",
            "%P %y %m %U %G %l\\n",
        ]))
        .well();
        let mut lines: Vec<String> = said.out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let layers = fs::read_dir(lab.data_dir().join("images/layers")).expect("the layers' directory");
    let ours: Vec<_> = layers.flatten().map(|e| list(&e.path().join("tree"))).collect();
    let theirs = list(&bundle.join("rootfs"));
    assert!(ours.contains(&theirs), "theirs: {theirs:?}\nours: {ours:?}");
    lab.finish();
}
