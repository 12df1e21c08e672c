//! Which system calls a program may make: those of Docker's default profile for its default capabilities, which are
//! those that need no privilege over the machine. All others answer EPERM.

use linux_raw_sys::{general as n, ptrace};

use super::compile::{Rule, Verdict};

/// What the kernel calls this architecture. A call by another one's table, such as i386's on x86_64, kills.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = ptrace::AUDIT_ARCH_X86_64;
/// What the kernel calls this architecture. A call by another one's table, such as arm's on aarch64, kills.
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = ptrace::AUDIT_ARCH_AARCH64;

/// Every call that does not answer EPERM.
pub(super) fn rules() -> Vec<Rule> {
    let allowed =
        [FILES, DESCRIPTORS, PROCESSES, MEMORY, IDENTITY, TIME, SIGNALS, IPC, NETWORK, OLD];
    let allowed =
        allowed.into_iter().flatten().map(|call| Rule { call: *call, verdict: Verdict::Allow });
    let conditional = [
        // New namespaces: a new user namespace would give back every capability.
        Rule { call: n::__NR_clone, verdict: Verdict::AllowUnlessBits(NEW_NAMESPACES) },
        // Its flags are behind a pointer, where a filter cannot look. libc uses clone when it is told that there is none.
        Rule { call: n::__NR_clone3, verdict: Verdict::Errno(ENOSYS) },
        // Linux, its 16-bit-inode and short-address variants, and the question what it is.
        Rule {
            call: n::__NR_personality,
            verdict: Verdict::AllowOnly(&[0, 8, 0x2_0000, 0x2_0008, !0]),
        },
        // A process that is killed waits for whoever traces its exit, for ever if two trace each other: nobody could end
        // such a task, the machine's root neither. All else of tracing is allowed.
        Rule {
            call: n::__NR_ptrace,
            verdict: Verdict::AllowUnlessWith {
                requests: &[PTRACE_SETOPTIONS, PTRACE_OLDSETOPTIONS, PTRACE_SEIZE],
                bits: PTRACE_O_TRACEEXIT,
            },
        },
        // Sockets to hypervisors know no network namespace.
        Rule { call: n::__NR_socket, verdict: Verdict::AllowUnless(AF_VSOCK) },
    ];
    allowed.chain(conditional).collect()
}

const NEW_NAMESPACES: u32 = n::CLONE_NEWNS
    | n::CLONE_NEWCGROUP
    | n::CLONE_NEWUTS
    | n::CLONE_NEWIPC
    | n::CLONE_NEWUSER
    | n::CLONE_NEWPID
    | n::CLONE_NEWNET;
const PTRACE_OLDSETOPTIONS: u32 = 21;
const PTRACE_SETOPTIONS: u32 = 0x4200;
const PTRACE_SEIZE: u32 = 0x4206;
const PTRACE_O_TRACEEXIT: u32 = 0x40;
const ENOSYS: u16 = 38;
const AF_VSOCK: u32 = 40;

macro_rules! calls {
    ($($name:ident)*) => { &[$(n::$name),*] };
}

#[rustfmt::skip]
const FILES: &[u32] = calls![
    __NR_chdir __NR_chroot __NR_copy_file_range __NR_execve __NR_execveat __NR_faccessat __NR_faccessat2
    __NR_fadvise64 __NR_fallocate __NR_fanotify_mark __NR_fchdir __NR_fchmod __NR_fchmodat __NR_fchmodat2 __NR_fchown
    __NR_fchownat __NR_fdatasync __NR_fgetxattr __NR_flistxattr __NR_flock __NR_fremovexattr __NR_fsetxattr __NR_fstat
    __NR_fstatfs __NR_fsync __NR_ftruncate __NR_getcwd __NR_getdents64 __NR_getxattr __NR_getxattrat
    __NR_inotify_add_watch __NR_inotify_init1 __NR_inotify_rm_watch __NR_landlock_add_rule
    __NR_landlock_create_ruleset __NR_landlock_restrict_self __NR_lgetxattr __NR_linkat __NR_listxattr
    __NR_listxattrat __NR_llistxattr __NR_lremovexattr __NR_lsetxattr __NR_mkdirat __NR_mknodat
    __NR_name_to_handle_at __NR_newfstatat __NR_openat __NR_openat2 __NR_readahead __NR_readlinkat __NR_removexattr
    __NR_removexattrat __NR_renameat __NR_renameat2 __NR_setxattr __NR_setxattrat __NR_statfs __NR_statx
    __NR_symlinkat __NR_sync __NR_sync_file_range __NR_syncfs __NR_truncate __NR_umask __NR_unlinkat __NR_utimensat
];

#[rustfmt::skip]
const DESCRIPTORS: &[u32] = calls![
    __NR_cachestat __NR_close __NR_close_range __NR_dup __NR_dup3 __NR_epoll_create1 __NR_epoll_ctl __NR_epoll_pwait
    __NR_epoll_pwait2 __NR_eventfd2 __NR_fcntl __NR_io_cancel __NR_io_destroy __NR_io_getevents __NR_io_pgetevents
    __NR_io_setup __NR_io_submit __NR_ioctl __NR_lseek __NR_pipe2 __NR_ppoll __NR_pread64 __NR_preadv __NR_preadv2
    __NR_pselect6 __NR_pwrite64 __NR_pwritev __NR_pwritev2 __NR_read __NR_readv __NR_sendfile __NR_splice __NR_tee
    __NR_vmsplice __NR_write __NR_writev
];

#[rustfmt::skip]
const PROCESSES: &[u32] = calls![
    __NR_exit __NR_exit_group __NR_futex __NR_futex_requeue __NR_futex_wait __NR_futex_waitv __NR_futex_wake
    __NR_get_robust_list __NR_getcpu __NR_getpgid __NR_getpid __NR_getppid __NR_getpriority __NR_getrandom
    __NR_getrlimit __NR_getrusage __NR_getsid __NR_gettid __NR_ioprio_get __NR_ioprio_set __NR_membarrier
    __NR_pidfd_open __NR_pidfd_send_signal __NR_prctl __NR_prlimit64 __NR_process_mrelease __NR_process_vm_readv
    __NR_process_vm_writev __NR_restart_syscall __NR_rseq __NR_sched_get_priority_max
    __NR_sched_get_priority_min __NR_sched_getaffinity __NR_sched_getattr __NR_sched_getparam
    __NR_sched_getscheduler __NR_sched_rr_get_interval __NR_sched_setaffinity __NR_sched_setattr
    __NR_sched_setparam __NR_sched_setscheduler __NR_sched_yield __NR_seccomp __NR_set_robust_list
    __NR_set_tid_address __NR_setpgid __NR_setpriority __NR_setrlimit __NR_setsid __NR_sysinfo __NR_uname __NR_wait4
    __NR_waitid
];

#[rustfmt::skip]
const MEMORY: &[u32] = calls![
    __NR_brk __NR_madvise __NR_map_shadow_stack __NR_memfd_create __NR_memfd_secret __NR_mincore __NR_mlock
    __NR_mlock2 __NR_mlockall __NR_mmap __NR_mprotect __NR_mremap __NR_mseal __NR_msync __NR_munlock __NR_munlockall
    __NR_munmap __NR_pkey_alloc __NR_pkey_free __NR_pkey_mprotect __NR_remap_file_pages
];

#[rustfmt::skip]
const IDENTITY: &[u32] = calls![
    __NR_capget __NR_capset __NR_getegid __NR_geteuid __NR_getgid __NR_getgroups __NR_getresgid __NR_getresuid
    __NR_getuid __NR_setfsgid __NR_setfsuid __NR_setgid __NR_setgroups __NR_setregid __NR_setresgid __NR_setresuid
    __NR_setreuid __NR_setuid
];

#[rustfmt::skip]
const TIME: &[u32] = calls![
    __NR_adjtimex __NR_clock_adjtime __NR_clock_getres __NR_clock_gettime __NR_clock_nanosleep __NR_getitimer
    __NR_gettimeofday __NR_nanosleep __NR_setitimer __NR_timer_create __NR_timer_delete __NR_timer_getoverrun
    __NR_timer_gettime __NR_timer_settime __NR_timerfd_create __NR_timerfd_gettime __NR_timerfd_settime __NR_times
];

#[rustfmt::skip]
const SIGNALS: &[u32] = calls![
    __NR_kill __NR_rt_sigaction __NR_rt_sigpending __NR_rt_sigprocmask __NR_rt_sigqueueinfo __NR_rt_sigreturn
    __NR_rt_sigsuspend __NR_rt_sigtimedwait __NR_rt_tgsigqueueinfo __NR_sigaltstack __NR_signalfd4 __NR_tgkill
    __NR_tkill
];

#[rustfmt::skip]
const IPC: &[u32] = calls![
    __NR_mq_getsetattr __NR_mq_notify __NR_mq_open __NR_mq_timedreceive __NR_mq_timedsend __NR_mq_unlink __NR_msgctl
    __NR_msgget __NR_msgrcv __NR_msgsnd __NR_semctl __NR_semget __NR_semop __NR_semtimedop __NR_shmat __NR_shmctl
    __NR_shmdt __NR_shmget
];

#[rustfmt::skip]
const NETWORK: &[u32] = calls![
    __NR_accept __NR_accept4 __NR_bind __NR_connect __NR_getpeername __NR_getsockname __NR_getsockopt __NR_listen
    __NR_recvfrom __NR_recvmmsg __NR_recvmsg __NR_sendmmsg __NR_sendmsg __NR_sendto __NR_setsockopt __NR_shutdown
    __NR_socketpair
];

/// What newer architectures left out.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD: &[u32] = calls![
    __NR_access __NR_alarm __NR_arch_prctl __NR_chmod __NR_chown __NR_creat __NR_dup2 __NR_epoll_create
    __NR_epoll_ctl_old __NR_epoll_wait __NR_epoll_wait_old __NR_eventfd __NR_fork __NR_futimesat __NR_get_thread_area
    __NR_getdents __NR_getpgrp __NR_inotify_init __NR_lchown __NR_link __NR_lstat __NR_mkdir __NR_mknod
    __NR_modify_ldt __NR_open __NR_pause __NR_pipe __NR_poll __NR_readlink __NR_rename __NR_rmdir __NR_select
    __NR_set_thread_area __NR_signalfd __NR_stat __NR_symlink __NR_time __NR_unlink __NR_utime __NR_utimes __NR_vfork
];

/// What newer architectures left out.
#[cfg(target_arch = "aarch64")]
const OLD: &[u32] = calls![];
