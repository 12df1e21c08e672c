//! What a task is told about itself, by Google's own libraries; and who may check it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use e2e::{
    Lab, clients, images,
    lab::{Options, PROJECT, REGION},
    wait,
};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://service.test";

fn script(name: &str) -> std::path::PathBuf {
    clients::root().join("crates/e2e/tests/clients").join(name)
}

fn in_private_networks() -> Lab {
    let flags = ["--network", "private"].map(str::to_owned).to_vec();
    Lab::with(Options { flags, ..Options::default() })
}

/// A job of one task that runs `args` once.
fn job(name: &str, layout: &Path, args: &[&str]) -> Value {
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {"spec": {"taskCount": 1, "template": {"spec": {
            "maxRetries": 0, "timeoutSeconds": "300",
            "containers": [{"image": format!("oci:{}", layout.display()), "args": args}],
        }}}}},
    })
}

/// What the task of `job` printed as JSON.
fn said(lab: &Lab, job: &Value) -> Value {
    lab.create(job);
    let execution = lab.run(job["metadata"]["name"].as_str().expect("a name"), &json!({}));
    let ended = lab.completed(&execution);
    let log = lab.log(&execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "{log}\n{ended}");
    let object = log.find('{').and_then(|at| log[at..].lines().next());
    serde_json::from_str(object.unwrap_or_else(|| panic!("no JSON in {log}"))).expect("JSON")
}

/// What Google's library finds in an identity token, with the keys at a path of the server.
fn verified(lab: &Lab, token: &str, keys: &str) -> Value {
    let mut verify = Command::new(clients::python())
        .arg(script("verify.py"))
        .args([&format!("{}{keys}", lab.url()), AUDIENCE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut stdin = verify.stdin.take().expect("it is piped");
    stdin.write_all(token.as_bytes()).expect("it is read");
    drop(stdin);
    let output = verify.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{keys}: a token is not believed");
    serde_json::from_slice(&output.stdout).expect("claims")
}

/// The ids of the published keys.
fn keys(lab: &Lab) -> Vec<Value> {
    let reply = lab.call("GET", "/oauth2/v3/certs", None);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let set = reply.json();
    let keys = set["keys"].as_array().expect("a list");
    keys.iter().map(|key| key["kid"].clone()).collect()
}

/// The project's number, as the Resource Manager tells it.
fn number(lab: &Lab) -> String {
    let project = lab.call("GET", &format!("/v1/projects/{PROJECT}"), None).json();
    project["projectNumber"].as_str().expect("a number").to_owned()
}

fn assert_is_the_task(lab: &Lab, told: &Value) {
    let number = number(lab);
    let account = format!("{number}-compute@developer.gserviceaccount.com");
    assert_eq!(told["project"], PROJECT, "{told}");
    assert_eq!(told["region"], format!("projects/{number}/regions/{REGION}"), "{told}");
    assert_eq!(told["email"], account, "{told}");
    assert!(told["token"].as_str().is_some_and(|token| token.len() > 100), "{told}");
    let identity = told["identity"].as_str().expect("a token");
    for published in ["/oauth2/v1/certs", "/oauth2/v3/certs"] {
        let claims = verified(lab, identity, published);
        assert_eq!(claims["email"], account, "{claims}");
        assert_eq!(claims["iss"], lab.url(), "{claims}");
        assert_eq!(claims["aud"], AUDIENCE, "{claims}");
    }
}

#[test]
fn the_keys_of_tokens_outlive_the_server() {
    let mut lab = Lab::start();
    let before = keys(&lab);
    assert_eq!(before.len(), 1, "{before:?}");
    lab.kill();
    lab.launch();
    assert_eq!(keys(&lab), before);
    let discovery = lab.call("GET", "/.well-known/openid-configuration", None).json();
    assert_eq!(discovery["issuer"], lab.url(), "{discovery}");
    assert_eq!(discovery["jwks_uri"], format!("{}/oauth2/v3/certs", lab.url()));
    lab.finish();
}

#[test]
fn googles_python_library_finds_project_token_and_identity() {
    let lab = in_private_networks();
    let layout = images::python_with_google(lab.dir());
    let program = fs::read_to_string(script("identity.py")).expect("the script");
    let told = said(&lab, &job("python", &layout, &["-c", &program, AUDIENCE]));
    assert_is_the_task(&lab, &told);
    lab.finish();
}

#[test]
fn googles_node_library_finds_project_token_and_identity() {
    let lab = in_private_networks();
    let layout = images::node_with_google(lab.dir());
    let program = fs::read_to_string(script("identity.mjs")).expect("the script");
    // Of a program given so, the arguments begin one earlier.
    let program = program.replace("const [, , modules", "const [, modules");
    let args = ["--input-type=module", "-e", &program, "/node_modules", AUDIENCE];
    let told = said(&lab, &job("node", &layout, &args));
    assert_is_the_task(&lab, &told);
    lab.finish();
}

/// Asks for its project 200 times, and ends badly where it gets no answer or another.
const ASKING: &str = r#"
import http.client, os, time
asked = 0
while asked < 200:
    connection = http.client.HTTPConnection("metadata.google.internal", timeout=60)
    connection.request("GET", "/computeMetadata/v1/project/project-id", headers={"Metadata-Flavor": "Google"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read().decode() == os.environ["EXPECTED"], answer.status
    connection.close()
    asked += 1
    print("asked", asked, flush=True)
    time.sleep(0.05)
"#;

#[test]
fn the_metadata_server_answers_over_a_kill_and_a_restart_of_the_server() {
    let mut lab = in_private_networks();
    let layout = images::python(lab.dir());
    let mut document = job("asking", &layout, &["-c", ASKING]);
    let container = &mut document["spec"]["template"]["spec"]["template"]["spec"]["containers"][0];
    container["env"] = json!([{"name": "EXPECTED", "value": PROJECT}]);
    lab.create(&document);
    let execution = lab.run("asking", &json!({}));
    wait::until("it asks", || lab.log(&execution).contains("asked 5").then_some(()));
    // It asks every 50 ms, also while nobody is there: then its question waits.
    lab.kill();
    lab.launch();
    let ended = lab.completed(&execution);
    let log = lab.log(&execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "{log}");
    assert!(log.contains("asked 200"), "{log}");
    lab.finish();
}

/// Answers every query for an address with 192.0.2.7, and every other with nothing, for the life of the test.
fn resolve_on(at: &str) {
    let socket = std::net::UdpSocket::bind((at, 53)).expect("the port for names is free there");
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let name = query[12..length].iter().position(|byte| *byte == 0).expect("a name");
            let end = 12 + name + 5;
            let is_a = query[end - 4..end] == [0, 1, 0, 1];
            let counts = [0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
            let head = [&query[..2], &[0x81, 0x80], &counts, &query[12..end]].concat();
            let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7];
            let answer = if is_a { [&head[..], &record].concat() } else { head };
            socket.send_to(&answer, from).expect("it is sent");
        }
    });
}

#[test]
fn a_task_finds_names_by_a_resolver_on_the_machines_loopback() {
    // As systemd's: nothing of a task's network leads there.
    let at = "127.7.7.53";
    resolve_on(at);
    let mut lab = in_private_networks();
    assert_eq!(lab.stop(), Some(0));
    let file = lab.dir().join("resolv.conf");
    fs::write(&file, format!("nameserver {at}\n")).expect("written");
    let over = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", file.display());
    lab.launch_under(&["unshare", "--mount", "sh", "-c", &over, "sh"]);
    let layout = images::python(lab.dir());
    let program = "import json, socket\n\
                   print(json.dumps(sorted({a[4][0] for a in socket.getaddrinfo('db.lan', 80)})))";
    lab.create(&job("names", &layout, &["-c", program]));
    let execution = lab.run("names", &json!({}));
    let ended = lab.completed(&execution);
    let log = lab.log(&execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "{log}");
    assert!(log.contains("[\"192.0.2.7\"]"), "{log}");
    lab.finish();
}

#[test]
fn a_task_reaches_a_database_of_the_machine_by_name_and_says_who_it_is() {
    let machine = Lab::with(Options {
        flags: ["--network", "host"].map(str::to_owned).to_vec(),
        ..Options::default()
    });
    images::postgres(machine.dir());
    // As root, who makes a folder for it and becomes it.
    let root = machine.dir().join("postgres-root");
    let config = json!({"Env": ["PATH=/usr/lib/postgresql/15/bin:/bin"]});
    let server = images::layout(machine.dir().join("database"), &root, config);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("loopback has free ports")
        .port();
    let serve = format!(
        "busybox mkdir /data && busybox chown 101:101 /data && exec busybox su postgres -s /bin/sh -c \
         'export PATH=$PATH; initdb -D /data -A trust >/dev/null && \
         exec postgres -D /data -h 127.0.0.1 -p {port} -k /data'"
    );
    let mut database = job("database", &server, &[&serve]);
    let container = &mut database["spec"]["template"]["spec"]["template"]["spec"]["containers"][0];
    container["command"] = json!(["/bin/sh", "-c"]);
    machine.create(&database);
    let serving = machine.run("database", &json!({}));
    wait::until("PostgreSQL listens on the machine's loopback", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });

    let lab = in_private_networks();
    let layout = images::python_with_google(lab.dir());
    let program = fs::read_to_string(script("database.py")).expect("the script");
    let args = ["-c", &program, &port.to_string(), AUDIENCE];
    let told = said(&lab, &job("client", &layout, &args));
    let account = format!("{}-compute@developer.gserviceaccount.com", number(&lab));
    assert_eq!((&told["who"], &told["project"]), (&json!(account), &json!(PROJECT)), "{told}");
    let identity = told["identity"].as_str().expect("a token");
    assert_eq!(verified(&lab, identity, "/oauth2/v3/certs")["email"], account);
    lab.finish();

    machine.ok("POST", &format!("executions/{serving}:cancel"), Some(&json!({})));
    machine.completed(&serving);
    machine.finish();
}
