//! The rights of the program: its ids, capabilities, limits, and the filter it can never take off.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Gid, Signal, Uid},
    thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType, SecureComputingMode},
};

use super::{Failure, Step, user::User};
use crate::{
    enter::Ids,
    protocol::{Resource, Rlimit},
    seccomp::Instruction,
    sys,
};

/// Docker's default. In a user namespace they are rights over the container's own ids and files only.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// Sets what is wanted, as far as the machine permits: hard limits can be raised only with a right that root may lack.
pub(super) fn limit(rlimits: &[Rlimit]) -> Result<(), Failure> {
    for wanted in rlimits {
        let resource = match wanted.resource {
            Resource::Core => rustix::process::Resource::Core,
            Resource::NoFile => rustix::process::Resource::Nofile,
            Resource::NProc => rustix::process::Resource::Nproc,
        };
        let hard_max = rustix::process::getrlimit(resource).maximum;
        let maximum = lower(wanted.hard, hard_max);
        let current = lower(wanted.soft, maximum);
        rustix::process::setrlimit(resource, rustix::process::Rlimit { current, maximum })
            .ours("set a resource limit")?;
    }
    Ok(())
}

/// The lower of two limits, where none is unlimited.
fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Joins the container's user namespace and becomes `user` there. No right over the machine is left after this.
///
/// With a single id the kernel lets nobody give up a group, so that no refusal of a group is escaped: then those of the
/// server's user are kept.
pub(super) fn become_user(
    user: &User,
    user_namespace: BorrowedFd<'_>,
    ids: Ids,
) -> Result<(), Failure> {
    rustix::thread::move_into_link_name_space(user_namespace, Some(LinkNameSpaceType::User))
        .ours("join the user namespace")?;
    if ids != Ids::Single {
        let groups: Vec<Gid> = user.groups.iter().map(|id| Gid::from_raw(*id)).collect();
        rustix::thread::set_thread_groups(&groups).ours("set the groups")?;
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).ours("set the group")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).ours("set the user")?;

    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if CAPABILITIES.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Beyond the last one that this kernel knows.
            Err(Errno::INVAL) => break,
            other => other.ours("bound the capabilities")?,
        }
    }
    let own = if user.uid == 0 { CAPABILITIES } else { CapabilitySet::empty() };
    let sets =
        CapabilitySets { effective: own, permitted: own, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).ours("drop capabilities")
}

/// Dies with the shim from now on. A change of ids undoes this, so it comes after them.
pub(super) fn die_with(shim: BorrowedFd<'_>) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .ours("ask to die with the shim")?;
    // It may have died before that; in a new pid namespace the parent's id is 0 either way.
    let mut shim = [PollFd::new(&shim, PollFlags::IN)];
    match poll(&mut shim, Some(&Timespec::default())).ours("look for the shim")? {
        0 => Ok(()),
        _ => Err(Failure::ours("the shim is dead")),
    }
}

/// Gives up for good what exec could give back, loads the filter, and asks the kernel whether both hold.
pub(super) fn confine(filter: &[Instruction]) -> Result<(), Failure> {
    rustix::thread::set_no_new_privs(true).ours("set no_new_privs")?;
    sys::seccomp::load(filter).ours("load the filter of system calls")?;
    if !rustix::thread::no_new_privs().ours("read no_new_privs")? {
        return Err(Failure::ours("no_new_privs does not hold"));
    }
    match rustix::thread::secure_computing_mode().ours("read the mode of seccomp")? {
        SecureComputingMode::Filter => Ok(()),
        other => Err(Failure::ours(format!("seccomp does not hold: {other:?}"))),
    }
}

/// Makes the program's output its own, so that it can open `/dev/stdout` anew.
pub(super) fn give_output(pipe: BorrowedFd<'_>, owner: super::Owner) -> Result<(), Failure> {
    let (uid, gid) = owner.ids();
    rustix::fs::fchown(pipe.as_fd(), uid, gid).ours("give the output to the user")
}
