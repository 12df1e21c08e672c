//! The examples do what their pages say: each with its own `job.yaml` as it stands. Only the public images that they name
//! stand here for ones made of Debian's packages.

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
};

use e2e::{
    Lab, Options,
    clients::{self, Said},
    document, images, wait,
};
use serde_json::json;

fn example(name: &str) -> PathBuf {
    clients::root().join("examples").join(name)
}

/// `groundrun run` of an example, with images that stand for others: reference and layout.
fn run(name: &str, stand_ins: &[(&str, PathBuf)], flags: &[&str]) -> Said {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("groundrun.toml");
    let alias =
        |(image, layout): &(&str, PathBuf)| format!("{image:?} = \"oci:{}\"\n", layout.display());
    let aliases: String = stand_ins.iter().map(alias).collect();
    fs::write(&config, format!("[images.aliases]\n{aliases}")).expect("written");
    let mut command = Command::new(clients::groundrun());
    command.arg("run").arg("--config").arg(config).arg(example(name).join("job.yaml")).args(flags);
    clients::run(&mut command)
}

#[test]
fn each_has_a_job_a_page_of_ten_lines_and_a_test() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(clients::root().join("examples")).expect("they are there") {
        let folder = entry.expect("an entry").path();
        let page = fs::read_to_string(folder.join("README.md")).expect("a page");
        assert!(page.lines().count() <= 10, "{}: too long", folder.display());
        assert!(folder.join("job.yaml").is_file(), "{}", folder.display());
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(page.contains(&format!("examples/{name}/job.yaml")), "{name}: how to run it");
        names.insert(name);
    }
    // primes is the README's main job, which other tests run.
    let known = ["bucket-array", "migration", "primes", "sidecar-proxy"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(known));
}

/// A PostgreSQL on the machine's loopback, as a task of a server of its own; its only user and its database are `app`.
struct Database {
    machine: Lab,
    image: PathBuf,
    execution: String,
    port: u16,
}

/// Whoever knows it, and nobody else, may connect.
const PASSWORD: &str = "a-password-of-the-example";

impl Database {
    fn start() -> Self {
        let flags = ["--network", "host"].map(str::to_owned).to_vec();
        let machine = Lab::with(Options { flags, ..Options::default() });
        let image = images::postgres(machine.dir());
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
        let port = free.expect("loopback has free ports").port();
        let serve = format!(
            "printf %s \"$PGPASSWORD\" >/data/password && \
             initdb -D /data/pg -U app -A scram-sha-256 --pwfile=/data/password -N --no-locale -E UTF8 >/data/log && \
             echo 'create database app' | postgres --single -D /data/pg postgres >/data/log && \
             exec postgres -D /data/pg -F -k '' -p {port} -c listen_addresses=127.0.0.1"
        );
        let mut database = Self { machine, image, execution: String::new(), port };
        database.execution = database.run("database", &serve);
        wait::until("the database listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        database
    }

    /// Runs a shell's script beside it, with its programs.
    fn run(&self, name: &str, script: &str) -> String {
        let image = format!("oci:{}", self.image.display());
        let mut job = document::script(name, &image, script);
        let container = document::container(&mut job);
        container["env"] = json!([{"name": "PGPASSWORD", "value": PASSWORD}]);
        container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        document::task(&mut job)["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        self.machine.create(&job);
        self.machine.run(name, &json!({}))
    }

    /// What `psql` prints.
    fn ask(&self, sql: &str) -> String {
        let script = format!("exec psql -h 127.0.0.1 -p {} -U app -Atc \"{sql}\"", self.port);
        let execution = self.run("ask", &script);
        self.machine.completed(&execution);
        self.machine.log(&execution)
    }

    fn finish(self) {
        self.machine.ok("POST", &format!("executions/{}:cancel", self.execution), Some(&json!({})));
        self.machine.completed(&self.execution);
        self.machine.finish();
    }
}

#[test]
fn a_migration_changes_the_tables_by_socket_and_secret() {
    let database = Database::start();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("password.txt");
    fs::write(&file, PASSWORD).expect("written");
    let secret = format!("--secret=db-password=@{}", file.display());
    let port = database.port;
    let cloudsql = format!("--cloudsql=my-project:us-central1:main=postgres://127.0.0.1:{port}");
    let stand_ins = [("docker.io/library/postgres:17", database.image.clone())];
    let said = run("migration", &stand_ins, &[&secret, &cloudsql]).well();
    assert!(said.err.contains("1 succeeded, 0 failed"), "{}", said.err);
    let columns = database.ask(
        "select string_agg(column_name, ' ' order by column_name) \
         from information_schema.columns where table_name = 'visits'",
    );
    assert!(columns.contains("day seen unique_seen"), "{columns}");
    let again = run("migration", &stand_ins, &[&secret, &cloudsql]).well();
    assert!(!format!("{}{}{}{}", said.out, said.err, again.out, again.err).contains(PASSWORD));
    database.finish();
}

#[test]
fn an_array_shares_a_bucket() {
    let dir = tempfile::tempdir().expect("a directory");
    let image = images::busybox(dir.path());
    let texts = dir.path().join("texts");
    fs::create_dir_all(texts.join("in")).expect("a directory");
    for words in 1..=10 {
        fs::write(texts.join(format!("in/{words}.txt")), "word ".repeat(words)).expect("written");
    }
    let bucket = format!("--bucket=my-project-texts={}", texts.display());
    let said = run("bucket-array", &[("docker.io/library/busybox:1.37", image)], &[&bucket]).well();
    assert!(said.err.contains("4 succeeded, 0 failed"), "{}", said.err);
    for words in 1..=10 {
        let counted = fs::read_to_string(texts.join(format!("out/{words}.txt"))).expect("written");
        assert_eq!(counted.trim(), words.to_string());
    }
}

#[test]
fn a_proxy_stands_beside_the_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let stand_ins = [
        ("docker.io/library/busybox:1.37", images::busybox(dir.path())),
        ("docker.io/library/nginx:1.29", images::nginx(dir.path())),
    ];
    let said = run("sidecar-proxy", &stand_ins, &["--project", "my-project"]).well();
    assert!(said.out.contains("main | my-project"), "{}\n{}", said.out, said.err);
}
