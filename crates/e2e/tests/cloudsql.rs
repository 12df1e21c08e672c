//! Cloud SQL: real clients in tasks of a private network reach real databases of the machine by the sockets in `/cloudsql`,
//! and no end of the server cuts a connection. The databases are tasks of another server, on the machine's network.

use std::{
    net::TcpStream,
    path::{Path, PathBuf},
};

use e2e::{Lab, images, lab, lab::Options, wait};
use serde_json::{Value, json};

const POSTGRES: &str = "lab-project:us-central1:pg";
/// Of a project that belongs to a domain.
const MARIADB: &str = "example.com:app:us-central1:my";
const INSTANCES: &str = "run.googleapis.com/cloudsql-instances";

/// A free port of the machine's loopback.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it is bound").port()
}

fn container(name: &str, layout: &Path, script: &str) -> Value {
    json!({
        "name": name, "image": format!("oci:{}:latest", layout.display()),
        "command": ["/bin/sh", "-c"], "args": [script],
        "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}},
    })
}

fn job(name: &str, instances: &str, containers: &[Value]) -> Value {
    let mut containers = containers.to_vec();
    if let [alone] = containers.as_mut_slice() {
        alone["resources"]["limits"]["cpu"] = json!("1");
    }
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"template": {
            "metadata": {"annotations": {INSTANCES: instances}},
            "spec": {"template": {"spec": {
                "containers": containers, "maxRetries": 0, "timeoutSeconds": "600",
            }}},
        }},
    })
}

/// A PostgreSQL and a MariaDB of the machine's loopback, and images with their clients.
struct Databases {
    machine: Lab,
    serving: Vec<String>,
    ports: [u16; 2],
    postgres: PathBuf,
    mariadb: PathBuf,
}

impl Databases {
    fn start() -> Self {
        let flags = ["--network", "host"].map(str::to_owned).to_vec();
        let machine = Lab::with(Options { flags, ..Options::default() });
        let (postgres, mariadb) = (images::postgres(machine.dir()), images::mariadb(machine.dir()));
        // As root, who makes a folder and becomes an ordinary user.
        let as_root = |name: &str, path: &str| {
            let root = machine.dir().join(format!("{name}-root"));
            let config = json!({"Env": [format!("PATH={path}")]});
            images::layout(machine.dir().join(format!("{name}-server")), &root, config)
        };
        let ports = [free_port(), free_port()];
        let [port, _] = ports;
        let script = format!(
            "busybox mkdir /data && busybox chown 101:101 /data && exec busybox su postgres -s /bin/sh -c \
             'export PATH=$PATH; initdb -D /data -A trust >/dev/null && \
             exec postgres -D /data -F -h 127.0.0.1 -p {port} -k /data'"
        );
        let server = as_root("postgres", "/usr/lib/postgresql/15/bin:/bin");
        let mut serving = vec![serve(&machine, container("postgres", &server, &script))];
        let [_, port] = ports;
        let script = format!(
            "busybox mkdir /data && cd /usr/share/mysql && \
             (echo 'create database mysql;'; echo 'use mysql;'; \
             busybox cat mysql_system_tables.sql mysql_performance_tables.sql mysql_system_tables_data.sql) | \
             mariadbd --no-defaults --bootstrap --datadir=/data --user=root 2>/dev/null && \
             (echo 'create database app;'; echo \"create user app@localhost identified by 'secret';\"; \
             echo 'grant all on *.* to app@localhost;') >/data/init.sql && \
             exec mariadbd --no-defaults --datadir=/data --user=root --bind-address=127.0.0.1 --port={port} \
             --socket=/data/s --init-file=/data/init.sql"
        );
        let server = as_root("mariadb", "/usr/sbin:/usr/bin:/bin");
        serving.push(serve(&machine, container("mariadb", &server, &script)));
        for port in ports {
            wait::until("the database listens on the machine's loopback", || {
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        Self { machine, serving, ports, postgres, mariadb }
    }

    /// A server whose tasks have private networks, and that knows where the databases are.
    fn lab(&self) -> Lab {
        let [postgres, mariadb] = self.ports;
        let flags = [
            "--cloudsql".to_owned(),
            format!("{POSTGRES}=postgres://127.0.0.1:{postgres}"),
            "--cloudsql".to_owned(),
            format!("{MARIADB}=mysql://localhost:{mariadb}"),
        ];
        Lab::with(Options { flags: flags.to_vec(), ..Options::default() })
    }

    /// A container in which `psql` does this, as an ordinary user.
    fn psql(&self, statements: &[&str]) -> Value {
        let commands = statements.iter().map(|one| format!(" -c \"{one}\"")).collect::<String>();
        let script = format!(
            "exec psql -h /cloudsql/{POSTGRES} -U postgres -v ON_ERROR_STOP=1 -At{commands}"
        );
        container("psql", &self.postgres, &script)
    }

    /// A container in which MariaDB's client does this, as an ordinary user.
    fn mariadb(&self, statements: &str) -> Value {
        let script = format!(
            "exec mariadb --no-defaults --socket=/cloudsql/{MARIADB} -u app -psecret -N --unbuffered app -e \"{statements}\""
        );
        container("mariadb", &self.mariadb, &script)
    }

    fn finish(self) {
        for execution in self.serving {
            self.machine.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
            self.machine.completed(&execution);
        }
        self.machine.finish();
    }
}

fn serve(machine: &Lab, container: Value) -> String {
    let name = container["name"].as_str().expect("a name").to_owned();
    machine.create(&job(&name, "", &[container]));
    machine.run(&name, &json!({}))
}

/// What the tasks of an execution that succeeded said.
fn done(lab: &Lab, execution: &str) -> String {
    let ended = lab.completed(execution);
    let log = lab.log(execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "{log}");
    log
}

/// The word after `word` in the log.
fn after<'log>(log: &'log str, word: &str) -> &'log str {
    let found = log.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
    found.unwrap_or_else(|| panic!("no {word:?} in {log}"))
}

#[test]
fn a_query_outlives_kill_9_of_the_server() {
    let databases = Databases::start();
    let mut lab = databases.lab();
    let both = format!("{POSTGRES},{MARIADB}");
    let setup = [
        databases.psql(&["create table go ()", "insert into go default values", "delete from go"]),
        databases.mariadb("create table go (n int)"),
    ];
    lab.create(&job("setup", &both, &setup));
    done(&lab, &lab.run("setup", &json!({})));

    // Each asks until there is a row, in one statement on one connection.
    let long = [
        databases.psql(&[
            "select 'pg-before', pg_backend_pid()",
            "do 'begin while not exists (select from go) loop perform pg_sleep(0.02); end loop; end'",
            "select 'pg-after', pg_backend_pid()",
        ]),
        databases.mariadb(
            "select 'my-before', connection_id();\ndelimiter //\n\
             begin not atomic while (select count(*) from go) = 0 do do sleep(0.02); end while; end //\n\
             select 'my-after', connection_id()//",
        ),
    ];
    lab.create(&job("long", &both, &long));
    // Ends when both statements are seen to run.
    let witness = [
        databases.psql(&[
            "do 'begin while not exists (select from pg_stat_activity where pid <> pg_backend_pid() and state = ''active'' \
             and query like ''do %from go)%'') loop perform pg_stat_clear_snapshot(); perform pg_sleep(0.02); end loop; end'",
        ]),
        databases.mariadb(
            "delimiter //\nbegin not atomic while (select count(*) from information_schema.processlist where \
             id <> connection_id() and info like '%sleep(0.02)%') = 0 do do sleep(0.03); end while; end //",
        ),
    ];
    lab.create(&job("witness", &both, &witness));
    let running = lab.run("long", &json!({}));
    done(&lab, &lab.run("witness", &json!({})));
    lab.kill();
    lab.launch();
    // They run still, and until somebody lets them go.
    done(&lab, &lab.run("witness", &json!({})));
    let go = [
        databases.psql(&["insert into go default values"]),
        databases.mariadb("insert into go values (1)"),
    ];
    lab.create(&job("go", &both, &go));
    done(&lab, &lab.run("go", &json!({})));
    let log = done(&lab, &running);
    assert_eq!(after(&log, "pg-before|"), after(&log, "pg-after|"), "{log}");
    assert_eq!(after(&log, "my-before"), after(&log, "my-after"), "{log}");
    lab.finish();
    databases.finish();
}

#[test]
fn gcloud_names_instances_and_is_told_what_an_unmapped_one_lacks() {
    let databases = Databases::start();
    let lab = databases.lab();
    let ask = |instance: &str| {
        format!("--args=^|^-c|psql -h /cloudsql/{instance} -U postgres -Atc 'select 6 * 7'")
    };
    let image = format!("--image=oci:{}:latest", databases.postgres.display());
    let create = |name: &str, instances: &str, args: &str| {
        let flag = format!("--set-cloudsql-instances={instances}");
        lab.gcloud(&[
            "run",
            "jobs",
            "create",
            name,
            &image,
            &flag,
            "--command=sh",
            args,
            "--max-retries=0",
        ])
    };

    let said = create("lost", "nowhere", &ask("lab-project:us-central1:nowhere")).badly(1);
    let words: Vec<&str> = said.err.split_whitespace().collect();
    let words = words.join(" ");
    for told in [
        "Cloud SQL instance 'lab-project:us-central1:nowhere' is not mapped to a database.",
        "[cloudsql.\"lab-project:us-central1:nowhere\"]",
        "--cloudsql lab-project:us-central1:nowhere=postgres://127.0.0.1:5432",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
    let job = lab.ok("GET", "jobs/lost", None);
    assert_eq!(lab::condition(&job, "Ready")["reason"], "CloudSqlInstanceNotMapped", "{job}");

    // A short name is of the command's own project and region.
    create("found", "pg", &ask(POSTGRES)).well();
    let job = lab.gcloud(&["run", "jobs", "describe", "found", "--format=json"]).well().json();
    assert_eq!(job["spec"]["template"]["metadata"]["annotations"][INSTANCES], POSTGRES);
    let said = lab.gcloud(&["run", "jobs", "execute", "found", "--wait"]).well();
    assert!(said.err.contains("has successfully completed."), "{}", said.err);
    let newest = &lab.ok("GET", "executions", None)["items"][0]["metadata"]["name"];
    let log = lab.log(newest.as_str().expect("a name"));
    assert!(log.contains("42"), "{log}");
    let clear = ["run", "jobs", "update", "found", "--clear-cloudsql-instances"];
    lab.gcloud(&clear).well();
    lab.finish();
    databases.finish();
}
