//! clone3 for a child that borrows its parent's memory until it execs, as vfork does.
//!
//! Copying page tables and then faulting pages in was a fifth of a whole start. libc has no wrapper of clone3, and only
//! clone3 can put a child into a version 2 cgroup at birth and give its pidfd.

use std::{
    arch::asm,
    convert::Infallible,
    ffi::c_void,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
};

use super::process::exit;

/// The kernel's `struct clone_args`, first version with `cgroup` (5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP`; libc has it as a value that does not fit its own type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Where a child begins in the hierarchy of cgroups.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Birthplace<'fd> {
    /// Beside its parent.
    Parents,
    /// In the version 2 cgroup whose directory this is.
    Cgroup(BorrowedFd<'fd>),
}

/// Runs `child` in a new process with the new namespaces of `namespaces`, in this process's memory, and returns when that
/// process has exec'd or ended. Its exit signal is SIGCHLD.
///
/// Shared memory has one price: a cgroup so small that the child is killed for want of memory before its exec takes this
/// process along, since the kernel kills all who share a memory. What a start needs is well under a megabyte.
///
/// The child has its own copies of descriptors, signal handlers, credentials and root directory. What it allocates and
/// does not free stays with this process.
///
/// # Errors
/// clone3's, or that of mapping a stack.
pub(crate) fn borrow_until_exec<F>(
    namespaces: libc::c_int,
    birthplace: Birthplace<'_>,
    mut child: F,
) -> io::Result<OwnedFd>
where
    F: FnMut() -> Infallible,
{
    let stack = Stack::map()?;
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | namespaces) as u32 as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.bottom.as_ptr() as u64,
        stack_size: Stack::BYTES as u64,
        ..CloneArgs::default()
    };
    if let Birthplace::Cgroup(directory) = birthplace {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = directory.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a whole clone_args that outlives the call; its stack is mapped, writable and used by nobody else,
    // and stays mapped, since CLONE_VFORK keeps this thread here until the child no longer uses this memory. This process
    // has one thread, so nobody else changes memory or holds a lock meanwhile. `run::<F>` never returns, and is given the
    // `F` it was made for, which this thread does not touch before the child is done with it.
    let result = unsafe { clone3(&args, run::<F>, (&raw mut child).cast()) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL)));
    }
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so it stored a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

extern "C" fn run<F: FnMut() -> Infallible>(child: *mut c_void) -> ! {
    // SAFETY: `borrow_until_exec` passes a valid pointer to its `F`, and waits.
    let child = unsafe { &mut *child.cast::<F>() };
    match child() {}
}

/// The child's stack, with a page below it that nobody may touch.
struct Stack {
    mapping: NonNull<c_void>,
    bottom: NonNull<c_void>,
}

impl Stack {
    /// Enough for parsing a user's entry and mounting; only touched pages cost memory.
    const BYTES: usize = 256 * 1024;
    /// At least a page on every machine (aarch64 has up to 64 KiB).
    const GUARD_BYTES: usize = 64 * 1024;

    fn map() -> io::Result<Self> {
        let bytes = Self::GUARD_BYTES + Self::BYTES;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping touches no memory that anybody has.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        let mapping = match NonNull::new(mapping) {
            Some(mapping) if mapping.as_ptr() != libc::MAP_FAILED => mapping,
            _ => return Err(io::Error::last_os_error()),
        };
        // SAFETY: GUARD_BYTES is inside the mapping just made.
        let bottom = unsafe { mapping.byte_add(Self::GUARD_BYTES) };
        let stack = Self { mapping, bottom };
        // SAFETY: the range is inside the mapping just made, page-aligned, and used by nobody yet.
        let result = unsafe {
            libc::mprotect(bottom.as_ptr(), Self::BYTES, libc::PROT_READ | libc::PROT_WRITE)
        };
        super::checked(result.into())?;
        Ok(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made by `map`; the child that used it has exec'd or ended.
        unsafe { libc::munmap(self.mapping.as_ptr(), Self::GUARD_BYTES + Self::BYTES) };
    }
}

/// Calls clone3; the child calls `entry(argument)` on its own stack. Returns the pid or a negative errno.
///
/// # Safety
/// As said where it is called: `args` names a stack of the child's own, and `entry` may be called with `argument`.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: &CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> i64 {
    let result;
    // SAFETY: the parent's side is an ordinary system call. The child's side starts with the top of its own stack (16-byte
    // aligned, as the call's ABI asks before the return address is pushed) and leaves the block only by `entry`, which
    // does not return. r12 and r13 survive a system call in both.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") ptr::from_ref(args),
            in("rsi") size_of::<CloneArgs>(),
            in("r12") entry,
            in("r13") argument,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// Calls clone3; the child calls `entry(argument)` on its own stack. Returns the pid or a negative errno.
///
/// # Safety
/// As said where it is called: `args` names a stack of the child's own, and `entry` may be called with `argument`.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    args: &CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> i64 {
    let result;
    // SAFETY: as on x86_64; x20 and x21 survive a system call in both.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") ptr::from_ref(args) => result,
            in("x1") size_of::<CloneArgs>(),
            in("x20") argument,
            in("x21") entry,
        );
    }
    result
}

/// Ends a child that has nothing more to do.
pub(crate) fn end_child() -> Infallible {
    exit(127)
}
