//! One server with a data directory of its own, and the clients that speak to it.

use std::{
    ffi::{CString, OsString},
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::{Pid, Signal, kill_process},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::canary::{Search, canary};

use crate::{
    clients::{self, Said},
    http::{self, Reply},
    leftovers, wait,
};

/// How the server of a lab is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Further flags of `groundrun serve`.
    pub flags: Vec<String>,
    /// Further environment.
    pub env: Vec<(String, String)>,
    /// A disk of its own with so many MiB for the data directory.
    pub disk_mib: Option<u32>,
}

/// A server, its data directory and its clients' private configuration.
pub struct Lab {
    dir: TempDir,
    options: Options,
    server: Option<Child>,
    address: SocketAddr,
}

/// The project that labs use.
pub const PROJECT: &str = "lab-project";

/// The region that labs use.
pub const REGION: &str = "us-central1";

impl Lab {
    /// A server with default settings.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// A server with further flags or environment.
    pub fn with(options: Options) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("groundrun-lab-")
            .tempdir()
            .expect("a temporary directory");
        let unset = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut lab = Self { dir, options, server: None, address: unset };
        if let Some(mib) = lab.options.disk_mib {
            let data = lab.data_dir();
            fs::create_dir(&data).expect("a directory");
            let size = CString::new(format!("size={mib}m,mode=700")).expect("no zero byte");
            mount("groundrun-lab", &data, "tmpfs", MountFlags::empty(), size.as_c_str())
                .expect("a small disk is mounted");
        }
        lab.launch();
        lab
    }

    /// Where the server keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A place for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Process id of the server.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().map(Child::id).expect("the server runs")
    }

    /// Starts the server, on the port it had before if it ran before, and waits for its line.
    pub fn launch(&mut self) {
        self.launch_under(&[]);
    }

    /// The same by a command that runs the server's, which follows as further arguments, in its place.
    pub fn launch_under(&mut self, command: &[&str]) {
        let mut words = command.iter().map(OsString::from).collect::<Vec<_>>();
        words.push(clients::groundrun().into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .args(["serve", "--project", PROJECT, "--region", REGION])
            .args(["--listen", &self.address.to_string()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(&self.options.flags)
            .envs(self.options.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("groundrun serve starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output is piped");
        BufReader::new(out).read_line(&mut line).expect("its line can be read");
        let address = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("http://"))
            .unwrap_or_else(|| panic!("no address in its line {line:?}: {:?}", child.wait()));
        self.address = address.parse().expect("an address");
        self.server = Some(child);
    }

    /// `kill -9` of the server. Its tasks go on.
    pub fn kill(&mut self) {
        let mut child = self.server.take().expect("the server runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.server.take().expect("the server runs");
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("it can be told");
        child.wait().expect("it ends").code()
    }

    /// One call of the API, in JSON, as a local client.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let host = format!("Host: {REGION}-localhost:{}", self.address.port());
        let mut headers = vec![host.as_str()];
        let bytes = body.map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            headers.push("Content-Type: application/json");
        }
        http::send(self.address, method, path, &headers, bytes.as_bytes())
            .expect("the server answers")
    }

    /// A v1 path below the lab's namespace.
    pub fn path(&self, rest: &str) -> String {
        format!("/apis/run.googleapis.com/v1/namespaces/{PROJECT}/{rest}")
    }

    /// A call that must succeed.
    pub fn ok(&self, method: &str, rest: &str, body: Option<&Value>) -> Value {
        let reply = self.call(method, &self.path(rest), body);
        assert_eq!(reply.status, 200, "{method} {rest}: {}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// Creates a job from a document and waits until it is Ready.
    pub fn create(&self, job: &Value) -> Value {
        self.ok("POST", "jobs", Some(job));
        let name = job["metadata"]["name"].as_str().expect("the job has a name");
        wait::until("the job is Ready", || {
            let job = self.ok("GET", &format!("jobs/{name}"), None);
            (status_of(&job, "Ready") == "True").then_some(job)
        })
    }

    /// `:run`, and the execution's name.
    pub fn run(&self, job: &str, request: &Value) -> String {
        let execution = self.ok("POST", &format!("jobs/{job}:run"), Some(request));
        execution["metadata"]["name"].as_str().expect("an execution has a name").to_owned()
    }

    /// Waits until an execution completes, and gives it.
    pub fn completed(&self, execution: &str) -> Value {
        wait::until(&format!("{execution} completes"), || {
            let object = self.ok("GET", &format!("executions/{execution}"), None);
            (status_of(&object, "Completed") != "Unknown").then_some(object)
        })
    }

    /// Waits until all executions complete, also those whose acceptance nobody heard of. A server that stops leaves
    /// running tasks running: before [`finish`](Self::finish), nothing may run.
    pub fn all_completed(&self) {
        let mut page = String::from("executions");
        loop {
            let list = self.ok("GET", &page, None);
            for execution in list["items"].as_array().into_iter().flatten() {
                self.completed(execution["metadata"]["name"].as_str().expect("a name"));
            }
            match list["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => page = format!("executions?continue={token}"),
                None => return,
            }
        }
    }

    /// Waits until so many tasks of an execution run.
    pub fn running(&self, execution: &str, tasks: u64) {
        wait::until(&format!("{tasks} tasks of {execution} run"), || {
            let object = self.ok("GET", &format!("executions/{execution}"), None);
            (object["status"]["runningCount"] == tasks).then_some(())
        });
    }

    /// The newest log entries of an execution, at most 100, that a further filter lets pass.
    pub fn entries(&self, execution: &str, filter: &str) -> Vec<Value> {
        let body = json!({
            "resourceNames": [format!("projects/{PROJECT}")],
            "filter": format!("labels.\"run.googleapis.com/execution_name\"={execution} {filter}"),
            "orderBy": "timestamp desc", "pageSize": 100,
        });
        let reply = self.call("POST", "/v2/entries:list", Some(&body));
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["entries"].as_array().cloned().unwrap_or_default()
    }

    /// What an execution's tasks said, in order.
    pub fn log(&self, execution: &str) -> String {
        self.groundrun(&["logs", execution]).well().out
    }

    /// gcloud, pointed at the server the way the README says.
    pub fn gcloud(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(clients::groundrun());
        command
            .args(["gcloud", "--url", &self.url(), "--project", PROJECT, "--region", REGION])
            .args(arguments)
            .env("CLOUDSDK_CONFIG", self.dir.path().join("gcloud"))
            .env("XDG_DATA_HOME", self.dir.path().join("home"))
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env_remove("GROUNDRUN_TOKEN_FILE");
        clients::run(&mut command)
    }

    /// Another verb of the binary, with the server's address.
    pub fn groundrun(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(clients::groundrun());
        command
            .args(arguments)
            .env("GROUNDRUN_URL", self.url())
            .env("GROUNDRUN_PROJECT", PROJECT)
            .env("GROUNDRUN_REGION", REGION);
        clients::run(&mut command)
    }

    /// Stops the server and fails the test when anything of it is left outside its directory.
    pub fn finish(mut self) {
        if self.server.is_some() {
            assert_eq!(self.stop(), Some(0), "the server stops in order");
        }
        self.assert_no_canary();
        self.remove_disk();
        leftovers::assert_none_of(&self.data_dir());
    }

    /// Fails the test when what a secret holds is in a file of the server's, its tasks' or its clients'.
    pub fn assert_no_canary(&self) {
        let found = Search::of(&canary()).files_below(self.dir.path());
        assert!(found.is_empty(), "what a secret holds is in {found:?}");
    }

    fn remove_disk(&mut self) {
        if self.options.disk_mib.take().is_some() {
            // What still uses it keeps it, and is found by its own traces.
            unmount(self.data_dir(), UnmountFlags::DETACH).expect("the disk is unmounted");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.take() {
            child.kill().ok();
            child.wait().ok();
        }
        leftovers::clear(&self.data_dir());
        if !thread::panicking() {
            self.assert_no_canary();
        }
        self.remove_disk();
    }
}

/// Status of a condition; `Unknown` where there is none.
pub fn status_of(object: &Value, kind: &str) -> String {
    condition(object, kind)["status"].as_str().unwrap_or("Unknown").to_owned()
}

/// A condition; Null where there is none.
pub fn condition(object: &Value, kind: &str) -> Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["type"] == kind))
        .cloned()
        .unwrap_or(Value::Null)
}
