//! NFS directories that the kernel mounts, as far as that goes without an NFS server: the guest has one (xtask/src/vm/nfs.sh).

use std::{net::Ipv4Addr, time::Duration};

use groundrun_shim::protocol::{End, Launch, Mount, Network, Nfs, Volume};

use crate::{Test, lab::Lab};

pub(crate) const TESTS: &[Test] = &[(
    "an_nfs_directory_that_cannot_be_mounted_is_told_with_its_server_and_path",
    an_nfs_directory_that_cannot_be_mounted_is_told_with_its_server_and_path,
)];

fn with(lab: &Lab, server: &str, address: Option<Ipv4Addr>) -> Launch {
    let mut launch = lab.launch(&["true"]);
    let (server, path) = (server.to_owned(), "/share".to_owned());
    launch.volumes = vec![Volume::Nfs(Nfs { server, address, path, read_only: false })];
    launch.containers[0].mounts = vec![Mount { volume: 0, path: "/n".into(), read_only: false }];
    launch
}

/// How the start fails, within the bounds of one that does not.
fn why(lab: &Lab, launch: &Launch) -> String {
    let begun = std::time::Instant::now();
    let outcome = lab.run(launch);
    assert!(begun.elapsed() < Duration::from_secs(60));
    let End::StartFailed { why, .. } = &outcome.record.end else { panic!("{outcome:?}") };
    assert!(lab.processes(launch).is_empty());
    why.clone()
}

fn an_nfs_directory_that_cannot_be_mounted_is_told_with_its_server_and_path(lab: &Lab) {
    let mut launch = with(lab, "nas", Some(Ipv4Addr::LOCALHOST));
    launch.network = Network::None;
    assert_eq!(why(lab, &launch), "mount NFS directory nas:/share: the task has no network");
    launch = with(lab, "nas", Some(Ipv4Addr::LOCALHOST));
    launch.network = Network::Host;
    let why = why(lab, &launch);
    let expected = ["this kernel has no NFS driver", "the server refuses connections", "permit it"];
    assert!(why.starts_with("mount NFS directory nas:/share: "), "{why}");
    assert!(expected.iter().any(|words| why.contains(words)), "{why}");
    let why = self::why(lab, &with(lab, "fd00::1", None));
    assert_eq!(why, "find the NFS server fd00::1: tasks' networks have no IPv6");
}
