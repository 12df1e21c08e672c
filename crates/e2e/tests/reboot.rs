//! A reboot: everything that ran is gone, and the kernel has another boot id. Here the power cut is `kill -9` of all, and
//! the other id is mounted over the kernel's where only the next server sees it.

use std::fs;

use e2e::{
    Lab,
    document::{self, BUILT_IN, job},
    lab::condition,
    leftovers, wait,
};
use serde_json::json;

#[test]
fn what_ran_before_a_reboot_is_lost_and_tried_again() {
    let mut lab = Lab::start();
    let mut once = job("once", BUILT_IN, &["wait-term", "0"]);
    document::execution(&mut once)["taskCount"] = json!(2);
    document::execution(&mut once)["parallelism"] = json!(1);
    lab.create(&once);
    let mut again = once.clone();
    again["metadata"]["name"] = json!("again");
    document::task(&mut again)["maxRetries"] = json!(1);
    lab.create(&again);
    let (once, again) = (lab.run("once", &json!({})), lab.run("again", &json!({})));
    lab.running(&once, 1);
    lab.running(&again, 1);

    lab.kill();
    leftovers::clear(&lab.data_dir());
    let boot_id = lab.dir().join("boot_id");
    fs::write(&boot_id, "0e7b4a2c-5c1e-4a57-9d6c-2f0c2a1b3d4e\n").expect("written");
    let script = "mount --bind $0 /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let boot_id = boot_id.display().to_string();
    lab.launch_under(&["unshare", "--mount", "sh", "-c", script, &boot_id]);

    for execution in [&once, &again] {
        wait::until("the reboot is told", || {
            lab.log(execution)
                .contains("Container was lost: the machine was restarted")
                .then_some(())
        });
    }
    // The other task runs now, or the retry.
    lab.running(&once, 1);
    let lost = lab.ok("GET", &format!("tasks/{once}-task0"), None);
    let completed = condition(&lost, "Completed");
    assert_eq!(completed["status"], "False", "{lost}");
    assert_eq!(completed["message"], "Internal error running task.", "{lost}");
    lab.running(&again, 1);
    let retried = lab.ok("GET", &format!("executions/{again}"), None);
    assert_eq!(retried["status"]["retriedCount"], 1, "{retried}");
    assert!(retried["status"]["failedCount"].is_null(), "{retried}");

    for execution in [&once, &again] {
        lab.ok("POST", &format!("executions/{execution}:cancel"), Some(&json!({})));
        let ended = lab.completed(execution);
        let status = &ended["status"];
        let counts = ["failedCount", "cancelledCount"].map(|c| status[c].as_u64().unwrap_or(0));
        assert_eq!(counts, if execution == &once { [1, 1] } else { [0, 2] }, "{status}");
    }
    lab.finish();
}

#[test]
fn a_lab_whose_server_was_killed_leaves_no_link_and_no_table() {
    let mut lab = Lab::start();
    let data_dir = lab.data_dir();
    lab.kill();
    let left = || groundrun_host::network::left_of(&data_dir).expect("the kernel and nft tell");
    assert!(left().len() >= 2, "a bridge and a table: {:?}", left());
    drop(lab);
    assert_eq!(left(), [""; 0]);
}
