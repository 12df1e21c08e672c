//! Judges what was read of a machine. Pure: one row for each thing that tasks need, all at once.

use std::path::Path;

use super::{
    Intent, Network, Row, State,
    facts::{Facts, FileSystem},
};
use crate::cgroup::{Limiting, Lost, Survey};

/// Overlay mounts of layers whose ids are mapped came with 5.19; so did the peak of memory use in version 2 of cgroups.
const KERNEL_MIN: (u32, u32) = (5, 19);

/// Since then the files of a tmpfs have the attributes that an ordinary user's overlay needs.
const TMPFS_ATTRIBUTES: (u32, u32) = (6, 6);

/// Since then the owners of files on a tmpfs can be mapped.
const TMPFS_OWNERS: (u32, u32) = (6, 3);

/// A container has ids 0 to 65535; the range of the user's own is on top.
const IDS: u64 = 65_536;

/// Images of a few hundred megabytes are common, and each is there packed and unpacked for a moment.
const FREE_MIN: u64 = 2 << 30;

/// The smallest task that Cloud Run knows has 512 MiB.
const MEMORY_MIN: u64 = 1 << 30;

const TMPFS: FileSystem = FileSystem(0x0102_1994);

/// File systems on which the owners of files cannot be shown otherwise than they are, by the number that the kernel has for
/// them; unknown ones are tried.
const UNMAPPED: [(FileSystem, &str); 7] = [
    (FileSystem(0x6969), "NFS"),
    (FileSystem(0x0102_1997), "9p"),
    (FileSystem(0xfe53_4d42), "SMB"),
    (FileSystem(0xff53_4d42), "CIFS"),
    (FileSystem(0x794c_7630), "overlay"),
    (FileSystem(0xf15f), "eCryptfs"),
    (FileSystem(0x6573_5546), "FUSE"),
];

/// A row for each thing.
pub(super) fn rows(facts: &Facts, intent: Intent) -> Vec<Row> {
    let mut rows = vec![kernel(facts), rights(facts), namespaces(facts), overlay(facts)];
    rows.push(limits(facts, intent.limiting));
    rows.push(data(facts));
    if !is_root(facts) {
        rows.push(ids(facts));
        rows.extend(writable_layer(facts));
        rows.extend(session(facts));
    }
    rows.push(network(facts, intent.network));
    rows.extend(firewall(&facts.chains));
    rows.push(capacity(facts));
    rows
}

fn is_root(facts: &Facts) -> bool {
    facts.uid == 0
}

fn good(topic: &'static str, finding: impl Into<String>) -> Row {
    Row { topic, state: State::Good, finding: finding.into(), remedy: None }
}

fn less(topic: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Row {
    let (finding, remedy) = (finding.into(), Some(remedy.into()));
    Row { topic, state: State::Less, finding, remedy }
}

fn missing(topic: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Row {
    Row { state: State::Missing, ..less(topic, finding, remedy) }
}

fn kernel(facts: &Facts) -> Row {
    let kernel = &facts.kernel;
    if is_before(facts, KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        let finding = format!("the kernel is {kernel}, older than {major}.{minor}");
        return missing("kernel", finding, "start a newer kernel");
    }
    good("kernel", format!("Linux {kernel}"))
}

fn is_before(facts: &Facts, least: (u32, u32)) -> bool {
    version(&facts.kernel).is_none_or(|version| version < least)
}

/// The first two numbers of a kernel's release, such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn rights(facts: &Facts) -> Row {
    match (is_root(facts), facts.is_capable) {
        (true, true) => good("user", "root"),
        (true, false) => missing(
            "user",
            "root may not mount file systems here (CAP_SYS_ADMIN is taken away)",
            "in a container, start that with --privileged --cgroupns=host",
        ),
        (false, _) => good("user", format!("{}, without root", facts.user)),
    }
}

fn namespaces(facts: &Facts) -> Row {
    const TOPIC: &str = "user namespaces";
    let found = &facts.namespaces;
    if !found.exist {
        let remedy = "start a kernel with CONFIG_USER_NS";
        return missing(TOPIC, "the kernel has no user namespaces", remedy);
    }
    if found.max == Some(0) {
        let remedy = "run `sudo sysctl -w user.max_user_namespaces=15000`";
        return missing(TOPIC, "user namespaces are switched off", remedy);
    }
    if !is_root(facts) && found.unprivileged == Some(0) {
        let remedy = "run `sudo sysctl -w kernel.unprivileged_userns_clone=1`";
        return missing(TOPIC, "user namespaces are for root only", remedy);
    }
    if !is_root(facts) && found.apparmor == Some(1) && found.is_unconfined {
        let program = facts.program.display();
        let remedy = format!(
            "give this program a profile: run `printf 'abi <abi/4.0>,\\nprofile groundrun {program} \
             flags=(unconfined) {{\\n  userns,\\n}}\\n' | sudo tee /etc/apparmor.d/groundrun && \
             sudo apparmor_parser -r /etc/apparmor.d/groundrun`; or lift the restriction for all: \
             run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
        );
        return missing(TOPIC, "AppArmor keeps ordinary users out of user namespaces", remedy);
    }
    good(TOPIC, "can be made")
}

fn overlay(facts: &Facts) -> Row {
    if facts.has_overlay {
        return good("overlay", "the kernel has it");
    }
    missing("overlay", "the kernel has no overlay file system", "run `sudo modprobe overlay`")
}

fn limits(facts: &Facts, limiting: Limiting) -> Row {
    let row = match &facts.cgroups {
        Survey::NotMounted { missing: controllers } => missing(
            "limits",
            format!("no cgroup hierarchy has the controller {}", controllers.join(", ")),
            "mount a cgroup hierarchy with the memory, cpu and pids controllers; \
             in a container, start that with --privileged --cgroupns=host",
        ),
        Survey::V1 { refused: None } => good("limits", "cgroup version 1"),
        Survey::V1 { refused: Some(dir) } => missing(
            "limits",
            format!("cgroup version 1 is for root only ({} is refused)", dir.display()),
            "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, or run it as root",
        ),
        Survey::V2 { seat: Some(seat), mount, .. } => match &facts.lost {
            None => good("limits", format!("cgroup version 2, in {}", seat.display())),
            Some(lost) => without(lost, mount, facts),
        },
        Survey::V2 { seat: None, mount, .. } => scope(facts, mount),
    };
    match (row.state, limiting) {
        (State::Missing, Limiting::Waived) => {
            let finding = format!("limits do not hold, as was accepted: {}", row.finding);
            Row { state: State::Less, finding, ..row }
        }
        (State::Missing, Limiting::Required) => {
            let or = |remedy| format!("{remedy}; or run without limits: --no-limits");
            Row { remedy: row.remedy.map(or), ..row }
        }
        _ => row,
    }
}

/// Nothing was handed over to where we are: the user's systemd is asked for a scope.
fn scope(facts: &Facts, mount: &Path) -> Row {
    let none = "no cgroup is handed over to this user";
    if is_root(facts) {
        let finding = format!("{} cannot be written", mount.display());
        let remedy = "in a container, start that with --privileged --cgroupns=host";
        return missing("limits", finding, remedy);
    }
    match &facts.manager {
        manager if manager.runs && facts.programs.systemd_run => match &manager.lost {
            None => good("limits", "cgroup version 2, in a scope of the user's systemd"),
            Some(lost) => without(lost, mount, facts),
        },
        _ if facts.has_systemd => {
            let remedy = format!("run `sudo loginctl enable-linger {}`", facts.user);
            missing("limits", format!("{none}, and no systemd of theirs runs"), remedy)
        }
        _ => {
            let dir = mount.join("groundrun");
            let (dir, user) = (dir.display(), &facts.user);
            let remedy = format!(
                "run `sudo mkdir {dir} && sudo chown -R {user} {dir} && \
                 echo $$ | sudo tee {dir}/cgroup.procs` in the shell that starts it"
            );
            missing("limits", none, remedy)
        }
    }
}

/// Some controllers are lost on the way down.
fn without(Lost { controllers, dir }: &Lost, mount: &Path, facts: &Facts) -> Row {
    let list = controllers.join(", ");
    let finding = format!("the cgroup {} lacks the controller {list}", dir.display());
    let of_user = dir.iter().any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("user@") && name.ends_with(".service")
    });
    let remedy = if dir == mount {
        "add systemd.unified_cgroup_hierarchy=1 cgroup_enable=memory to the kernel's command line"
            .to_owned()
    } else if of_user {
        let conf = "/etc/systemd/system/user@.service.d";
        format!(
            "run `sudo mkdir -p {conf} && \
             printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo tee {conf}/groundrun.conf && \
             sudo systemctl daemon-reload && sudo systemctl restart user@{}.service`, \
             which ends the programs of this user's systemd",
            facts.uid
        )
    } else {
        let wish: Vec<String> = controllers.iter().map(|one| format!("+{one}")).collect();
        let above = dir.parent().unwrap_or(mount).display();
        format!("run `echo '{}' | sudo tee {above}/cgroup.subtree_control`", wish.join(" "))
    };
    missing("limits", finding, remedy)
}

fn data(facts: &Facts) -> Row {
    const TOPIC: &str = "data directory";
    let found = &facts.data;
    let dir = found.dir.display();
    if let Some(refused) = &found.refused {
        let finding = format!("nothing can be made in {}", refused.display());
        return missing(TOPIC, finding, "name another directory with --data-dir");
    }
    let other = "name a directory on ext4, xfs or btrfs with --data-dir";
    if let Some((_, kind)) = UNMAPPED.iter().find(|(kind, _)| *kind == found.kind) {
        let finding = format!("{dir} is on {kind}, which cannot hold the files of containers");
        return missing(TOPIC, finding, other);
    }
    if found.kind == TMPFS && is_root(facts) && is_before(facts, TMPFS_OWNERS) {
        let finding = format!("{dir} is in memory, where this kernel cannot map owners");
        return missing(TOPIC, finding, other);
    }
    if found.kind == TMPFS && !is_root(facts) && is_before(facts, TMPFS_ATTRIBUTES) {
        let finding = format!("{dir} is in memory, where this kernel keeps no attributes of files");
        return less(TOPIC, finding, other);
    }
    match found.free {
        Some(free) if free < FREE_MIN => less(
            TOPIC,
            format!("{dir} has {} left", size(free)),
            "make room, or name a directory elsewhere with --data-dir",
        ),
        Some(free) => good(TOPIC, format!("{dir}, {} free", size(free))),
        None => good(TOPIC, dir.to_string()),
    }
}

fn ids(facts: &Facts) -> Row {
    const TOPIC: &str = "user ids";
    let one = "containers have a single user id";
    let found = &facts.ids;
    if !facts.programs.id_maps {
        let finding = format!("newuidmap is not installed: {one}");
        return less(TOPIC, finding, "run `sudo apt install uidmap`, or install shadow-utils");
    }
    let (most, user) = (found.users.min(found.groups), &facts.user);
    if most < IDS {
        let (first, last) = (found.next, found.next + IDS - 1);
        let remedy = format!(
            "run `sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {user}`"
        );
        let finding = format!("{user} has {most} subordinate ids, not {IDS}: {one}");
        return less(TOPIC, finding, remedy);
    }
    good(TOPIC, format!("{most} subordinate ids"))
}

fn writable_layer(facts: &Facts) -> Option<Row> {
    let is_old = is_before(facts, TMPFS_ATTRIBUTES);
    let (major, minor) = TMPFS_ATTRIBUTES;
    is_old.then(|| {
        less(
            "writable layer",
            "is on disk: for a user without root this kernel cannot have it in memory",
            format!("start a kernel of {major}.{minor} or newer"),
        )
    })
}

/// What becomes of tasks when the user logs out.
fn session(facts: &Facts) -> Option<Row> {
    const TOPIC: &str = "logging out";
    if !facts.has_systemd {
        return None;
    }
    if facts.manager.lingers {
        return Some(good(TOPIC, "tasks run on"));
    }
    let remedy = format!("run `loginctl enable-linger {}`", facts.user);
    Some(less(TOPIC, "tasks may end with the last session of this user", remedy))
}

fn network(facts: &Facts, network: Network) -> Row {
    const TOPIC: &str = "network";
    match network {
        Network::Plain => good(TOPIC, "nothing is needed for the one that was chosen"),
        Network::Private if !facts.programs.nft => missing(
            TOPIC,
            "nft is not installed, which joins the network of tasks to the outside",
            "run `sudo apt install nftables`; or choose --network host or none",
        ),
        Network::Private if is_root(facts) => good(TOPIC, "of their own, by a bridge and nft"),
        Network::Private if !facts.programs.pasta => less(
            TOPIC,
            "pasta is not installed: tasks do not reach the outside, and of this machine only --host-port",
            "run `sudo apt install passt`",
        ),
        Network::Private if !facts.has_tun => less(
            TOPIC,
            "/dev/net/tun cannot be opened, which pasta needs: tasks do not reach the outside",
            "run `sudo modprobe tun && sudo chmod 666 /dev/net/tun`",
        ),
        Network::Private => good(TOPIC, "of their own, by a bridge, nft and pasta"),
    }
}

/// A firewall that drops what is forwarded is asked beside our own table, and drops what tasks send to the outside.
fn firewall(chains: &str) -> Option<Row> {
    let (mut table, mut chain, mut dropping) = ("", "", None);
    for line in chains.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches(" {");
        } else if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches(" {");
        } else if line.contains(" hook forward ") && line.contains("policy drop") {
            dropping = dropping.or(Some((table, chain)));
        }
    }
    dropping.map(|(table, chain)| {
        let ours = if chains.contains("chain DOCKER-USER {") { "DOCKER-USER" } else { "FORWARD" };
        less(
            "firewall",
            format!(
                "the machine's own drops what is forwarded ({table} {chain}): \
                 tasks do not reach the outside"
            ),
            format!(
                "run `sudo iptables -I {ours} -i gr+ -j ACCEPT && sudo iptables -I {ours} -o gr+ \
                 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`"
            ),
        )
    })
}

fn capacity(facts: &Facts) -> Row {
    let finding = format!("{} CPUs, {} of memory", facts.cpus, size(facts.memory));
    if facts.memory < MEMORY_MIN {
        return less("capacity", finding, "run tasks with small limits, or raise --memory-share");
    }
    good("capacity", finding)
}

/// In the largest unit of which there is at least one.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 10 << 30 => format!("{} GiB", bytes >> 30),
        _ if bytes >= 1 << 30 => {
            format!("{}.{} GiB", bytes >> 30, ((bytes % (1 << 30)) * 10) >> 30)
        }
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
