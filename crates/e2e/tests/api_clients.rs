//! Google's own client libraries, without a patch.

use std::process::Command;

use e2e::{Lab, clients, lab::PROJECT};

fn script(name: &str) -> std::path::PathBuf {
    clients::root().join("crates/e2e/tests/clients").join(name)
}

#[test]
fn the_python_discovery_client_uses_every_method() {
    let lab = Lab::start();
    let said = clients::run(
        Command::new(clients::python()).arg(script("discovery.py")).arg(lab.url()).arg(PROJECT),
    )
    .well();
    assert_eq!(said.out.trim(), "ok");
    lab.finish();
}

#[test]
fn the_python_clients_of_secret_manager_use_every_method() {
    let lab = Lab::start();
    let said = clients::run(
        Command::new(clients::python()).arg(script("secrets.py")).arg(lab.url()).arg(PROJECT),
    )
    .well();
    assert_eq!(said.out.trim(), "ok");
    lab.finish();
}

#[test]
fn the_typed_node_client_runs_a_job() {
    let lab = Lab::start();
    let said = clients::run(
        Command::new("node")
            .arg(script("typed.mjs"))
            .arg(clients::node_modules())
            .arg(lab.url())
            .arg(PROJECT),
    )
    .well();
    assert_eq!(said.out.trim(), "ok");
    lab.finish();
}
