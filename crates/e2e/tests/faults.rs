//! What is not our fault: a full disk, a journal that cannot be read, a registry that stalls or cuts off. A clear error
//! or a wait, nothing lost, never a 5xx.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::Command,
};

use e2e::{
    Lab, Options, clients,
    document::{self, BUILT_IN, job},
    http::Reply,
    images,
    lab::{condition, status_of},
    proxy::{Proxy, Weather},
    registry::Registry,
    wait,
};
use serde_json::json;

/// Takes all room that is left, to the last byte.
fn fill(file: &Path) {
    let mut file = File::options().create(true).append(true).open(file).expect("a file");
    for size in [1 << 20, 4096, 1] {
        let block = vec![0; size];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn message(reply: &Reply) -> String {
    reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn on_a_full_disk_nothing_new_is_taken_in_and_what_runs_ends() {
    let lab = Lab::with(Options { disk_mib: Some(64), ..Options::default() });
    lab.create(&job("ends", BUILT_IN, &["sleep", "2"]));
    lab.create(&job("waits", BUILT_IN, &["wait-term", "0"]));
    let (ends, waits) = (lab.run("ends", &json!({})), lab.run("waits", &json!({})));
    lab.running(&ends, 1);
    lab.running(&waits, 1);
    let filler = lab.data_dir().join("filler");
    fill(&filler);

    let refused = [
        lab.call("POST", &lab.path("jobs"), Some(&job("new", BUILT_IN, &["true"]))),
        lab.call("POST", &lab.path("jobs/ends:run"), Some(&json!({}))),
    ];
    for reply in &refused {
        assert_eq!(reply.status, 429, "{}", String::from_utf8_lossy(&reply.body));
        assert!(message(reply).contains("Free some"), "what to do: {}", message(reply));
    }
    assert_eq!(lab.completed(&ends)["status"]["succeededCount"], 1);
    lab.ok("POST", &format!("executions/{waits}:cancel"), Some(&json!({})));
    assert_eq!(lab.completed(&waits)["status"]["cancelledCount"], 1);

    fs::remove_file(&filler).expect("room is made");
    lab.create(&job("new", BUILT_IN, &["true"]));
    let after = lab.run("new", &json!({}));
    assert_eq!(lab.completed(&after)["status"]["succeededCount"], 1);
    lab.finish();
}

#[test]
fn without_a_byte_left_ends_wait_for_room_and_none_is_lost() {
    let mut lab = Lab::with(Options { disk_mib: Some(64), ..Options::default() });
    let mut several = job("ends", BUILT_IN, &["sleep", "1"]);
    document::execution(&mut several)["taskCount"] = json!(3);
    lab.create(&several);
    let execution = lab.run("ends", &json!({}));
    lab.running(&execution, 3);
    let filler = lab.data_dir().join("filler");
    // The reserve is for the ends: taken too, as another program on the same disk would.
    fill(&filler);
    let refused = lab.call("POST", &lab.path("jobs/ends:run"), Some(&json!({})));
    assert_eq!(refused.status, 429, "{refused:?}");
    fill(&filler);
    let shims = || e2e::leftovers::shims_of(&lab.data_dir(), lab.pid());
    wait::until("the tasks have ended", || {
        let reply = lab.call("GET", &lab.path(&format!("executions/{execution}")), None);
        assert_eq!(reply.status, 200, "reading goes on: {reply:?}");
        shims().is_empty().then_some(())
    });
    fs::remove_file(&filler).expect("room is made");
    assert_eq!(lab.completed(&execution)["status"]["succeededCount"], 3);
    // And the next server has it so, too.
    lab.kill();
    lab.launch();
    assert_eq!(lab.completed(&execution)["status"]["succeededCount"], 3);
    lab.finish();
}

#[test]
fn an_unreadable_journal_is_refused_by_name_and_left_as_it_is() {
    let mut lab = Lab::start();
    lab.create(&job("kept", BUILT_IN, &["true"]));
    assert_eq!(lab.stop(), Some(0));
    let journal = lab.data_dir().join("groundrun.db");
    let good = fs::read(&journal).expect("the journal");
    let mut torn = good.clone();
    torn[16..4096.min(good.len())].fill(0xff);
    let data_dir = lab.data_dir().display().to_string();
    for bad in [b"a text, by mistake\n".repeat(400), torn] {
        fs::write(&journal, &bad).expect("written");
        let said = clients::run(Command::new(clients::groundrun()).args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            &data_dir,
        ]));
        assert_ne!(said.code, 0, "{said:?}");
        let told = said.err.contains(&journal.display().to_string())
            && said.err.contains("cannot be read")
            && said.err.contains("restore it");
        assert!(told, "{}", said.err);
        assert_eq!(fs::read(&journal).expect("the journal"), bad, "it was touched");
    }
    fs::write(&journal, &good).expect("restored");
    lab.launch();
    assert_eq!(status_of(&lab.ok("GET", "jobs/kept", None), "Ready"), "True");
    lab.finish();
}

/// A registry with busybox as `tools/busybox:1`, and a proxy before it.
fn disturbed(lab: &Lab) -> (Registry, Proxy, String) {
    let registry = Registry::start(lab.dir());
    registry.push(&images::busybox(lab.dir()), "tools/busybox:1");
    let proxy = Proxy::to(registry.address());
    let image = format!("{}/tools/busybox:1", proxy.address());
    (registry, proxy, image)
}

#[test]
fn an_execution_waits_for_a_registry_that_stalls_or_cuts_off_and_says_so() {
    let lab = Lab::start();
    let (_registry, proxy, image) = disturbed(&lab);
    lab.create(&document::script("patient", &image, "echo arrived"));
    proxy.turn(Weather::Stalled);
    let before = proxy.connections();
    let execution = lab.run("patient", &json!({}));
    let get = || lab.ok("GET", &format!("executions/{execution}"), None);
    wait::until("the registry is asked", || (proxy.connections() > before).then_some(()));
    wait::until("it says that the image is on its way", || {
        let message = condition(&get(), "Started")["message"].clone();
        (message == "Container image import in progress.").then_some(())
    });

    // Manifests pass; of a layer only a piece does, again and again.
    proxy.turn(Weather::CutAfter(64 << 10));
    let waiting = wait::until("it was cut off, and says so", || {
        let execution = get();
        let retry = condition(&execution, "Retry")["message"].clone();
        retry.as_str().is_some_and(|m| m.ends_with("for attempt 3.")).then_some(execution)
    });
    let ready = condition(&waiting, "ContainerReady");
    assert_eq!(ready["status"], "Unknown", "{waiting}");
    let registry = format!("registry {}", proxy.address());
    assert!(ready["message"].as_str().is_some_and(|m| m.contains(&registry)), "{ready}");
    assert_eq!(condition(&waiting, "Retry")["reason"], "PostponedRetry", "{waiting}");
    assert_eq!(status_of(&waiting, "Completed"), "Unknown");

    proxy.turn(Weather::Fair);
    let ended = lab.completed(&execution);
    assert_eq!(ended["status"]["succeededCount"], 1, "{ended}");
    assert!(lab.log(&execution).contains("arrived"));
    lab.finish();
}

#[test]
fn an_execution_that_waits_for_a_registry_can_be_cancelled_and_survives_a_restart() {
    let mut lab = Lab::start();
    let (_registry, proxy, image) = disturbed(&lab);
    lab.create(&document::script("patient", &image, "true"));
    proxy.turn(Weather::Stalled);
    let (one, other) = (lab.run("patient", &json!({})), lab.run("patient", &json!({})));
    lab.ok("POST", &format!("executions/{one}:cancel"), Some(&json!({})));
    assert_eq!(condition(&lab.completed(&one), "Completed")["reason"], "Cancelled");
    lab.kill();
    proxy.turn(Weather::Fair);
    lab.launch();
    assert_eq!(lab.completed(&other)["status"]["succeededCount"], 1);
    lab.finish();
}

#[test]
fn a_missing_image_is_named_and_nothing_runs_until_it_is_pushed() {
    let lab = Lab::start();
    let registry = Registry::start(lab.dir());
    let layout = images::busybox(lab.dir());
    let image = format!("{}/tools/later:1", registry.address());
    let document = document::script("early", &image, "true");
    lab.ok("POST", "jobs", Some(&document));
    let told = wait::until("the job says why it is not ready", || {
        let job = lab.ok("GET", "jobs/early", None);
        (status_of(&job, "Ready") == "False").then(|| condition(&job, "Ready"))
    });
    assert_eq!(told["reason"], "ContainerMissing", "{told}");
    assert_eq!(told["message"], format!("Image '{image}' not found."));
    let reply = lab.call("POST", &lab.path("jobs/early:run"), Some(&json!({})));
    assert_eq!(
        (reply.status, &reply.json()["error"]["status"]),
        (400, &json!("FAILED_PRECONDITION"))
    );

    registry.push(&layout, "tools/later:1");
    // Deployed once more, as its owner does after the push.
    lab.ok("PUT", "jobs/early", Some(&document));
    wait::until("it is ready", || {
        (status_of(&lab.ok("GET", "jobs/early", None), "Ready") == "True").then_some(())
    });
    let execution = lab.run("early", &json!({}));
    assert_eq!(lab.completed(&execution)["status"]["succeededCount"], 1);
    lab.finish();
}

#[test]
fn an_image_that_was_removed_after_the_deployment_fails_the_execution() {
    let lab = Lab::start();
    let registry = Registry::start(lab.dir());
    let image = registry.push(&images::busybox(lab.dir()), "tools/gone:1");
    lab.create(&document::script("late", &image, "true"));
    registry.remove("tools/gone");
    let execution = lab.run("late", &json!({}));
    let ended = condition(&lab.completed(&execution), "Completed");
    assert_eq!(ended["reason"], "ContainerMissing", "{ended}");
    assert_eq!(ended["message"], format!("Image '{image}' not found."));
    lab.finish();
}

#[test]
fn an_image_for_other_machines_is_refused_by_its_platform() {
    let lab = Lab::start();
    let root = lab.dir().join("root");
    fs::create_dir(&root).expect("a directory");
    fs::write(root.join("program"), "for another machine").expect("written");
    let layout = images::layout_for("s390x", lab.dir().join("foreign"), &root, json!({}));
    let image = format!("oci:{}:latest", layout.display());
    // The platform stands in the image's configuration, which is read when the image is needed.
    lab.create(&job("foreign", &image, &[]));
    let execution = lab.run("foreign", &json!({}));
    let ended = condition(&lab.completed(&execution), "Completed");
    assert_eq!(ended["reason"], "ContainerMissing", "{ended}");
    assert!(ended["message"].as_str().is_some_and(|m| m.contains("linux/s390x")), "{ended}");
    lab.finish();
}
