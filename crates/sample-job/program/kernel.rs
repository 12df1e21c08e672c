//! System calls: one line each, an error is a negative number.

use core::arch::asm;

#[cfg(target_arch = "x86_64")]
mod nr {
    pub const WRITE: usize = 1;
    pub const READ: usize = 0;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const NANOSLEEP: usize = 35;
    pub const GETPID: usize = 39;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const ACCEPT4: usize = 288;
    pub const SENDTO: usize = 44;
    pub const SHUTDOWN: usize = 48;
    pub const BIND: usize = 49;
    pub const LISTEN: usize = 50;
    pub const CLONE: usize = 56;
    pub const EXIT_GROUP: usize = 231;
    pub const KILL: usize = 62;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const MOUNT: usize = 165;
    pub const GETDENTS64: usize = 217;
    pub const PTRACE: usize = 101;
    pub const OPENAT: usize = 257;
    pub const MKNODAT: usize = 259;
    pub const UNSHARE: usize = 272;
    pub const STATX: usize = 332;
    pub const WAIT4: usize = 61;
    pub const CLONE3: usize = 435;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    pub const WRITE: usize = 64;
    pub const READ: usize = 63;
    pub const CLOSE: usize = 57;
    pub const MMAP: usize = 222;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const NANOSLEEP: usize = 101;
    pub const GETPID: usize = 172;
    pub const SOCKET: usize = 198;
    pub const CONNECT: usize = 203;
    pub const ACCEPT4: usize = 242;
    pub const SENDTO: usize = 206;
    pub const SHUTDOWN: usize = 210;
    pub const BIND: usize = 200;
    pub const LISTEN: usize = 201;
    pub const CLONE: usize = 220;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const MOUNT: usize = 40;
    pub const GETDENTS64: usize = 61;
    pub const PTRACE: usize = 117;
    pub const OPENAT: usize = 56;
    pub const MKNODAT: usize = 33;
    pub const UNSHARE: usize = 97;
    pub const STATX: usize = 291;
    pub const WAIT4: usize = 260;
    pub const CLONE3: usize = 435;
}

fn call(number: usize, a: [usize; 6]) -> isize {
    let mut result: isize;
    // SAFETY: the functions below pass what each call expects; pointers are to live memory of the given length.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _);
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] as isize => result, in("x1") a[1], in("x2") a[2],
            in("x3") a[3], in("x4") a[4], in("x5") a[5]);
    }
    result
}

const AT_FDCWD: usize = -100isize as usize;

pub fn exit(code: u8) -> ! {
    loop {
        call(nr::EXIT_GROUP, [code.into(), 0, 0, 0, 0, 0]);
    }
}

pub fn write(fd: usize, bytes: &[u8]) -> isize {
    call(nr::WRITE, [fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
}

pub fn read(fd: usize, bytes: &mut [u8]) -> isize {
    call(nr::READ, [fd, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0])
}

/// `path` ends with a zero.
pub fn open(path: &[u8], flags: usize) -> isize {
    call(nr::OPENAT, [AT_FDCWD, path.as_ptr() as usize, flags, 0o644, 0, 0])
}

/// Mode bits, owner and group of what is at `path`, which ends with a zero.
pub fn stat(path: &[u8]) -> Result<[u64; 3], isize> {
    const BASIC: usize = 0x7ff;
    // `struct statx`; uid and gid are its sixth and seventh words, the mode the lower half of the eighth.
    let mut words = [0u32; 64];
    let at = words.as_mut_ptr() as usize;
    match call(nr::STATX, [AT_FDCWD, path.as_ptr() as usize, 0, BASIC, at, 0]) {
        0 => Ok([u64::from(words[7] & 0o7777), words[5].into(), words[6].into()]),
        error => Err(error),
    }
}

pub fn close(fd: usize) {
    call(nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
}

pub fn directory_entries(fd: usize, bytes: &mut [u8]) -> isize {
    call(nr::GETDENTS64, [fd, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0])
}

/// Sleeps; on a signal it goes on sleeping for the rest.
pub fn sleep(seconds: u64, nanos: u64) {
    let mut time = [seconds, nanos];
    let at = time.as_mut_ptr() as usize;
    while call(nr::NANOSLEEP, [at, at, 0, 0, 0, 0]) == -4 {}
}

pub fn kill_self(signal: u64) -> isize {
    let me = call(nr::GETPID, [0; 6]) as usize;
    call(nr::KILL, [me, signal as usize, 0, 0, 0, 0])
}

const SIGTERM_SET: u64 = 1 << (15 - 1);

/// From now on SIGTERM waits until it is asked for.
pub fn hold_term() {
    let set = SIGTERM_SET;
    call(nr::RT_SIGPROCMASK, [0, &raw const set as usize, 0, 8, 0, 0]);
}

/// Returns when SIGTERM has come.
pub fn await_term() {
    let set = SIGTERM_SET;
    while call(nr::RT_SIGTIMEDWAIT, [&raw const set as usize, 0, 0, 8, 0, 0]) < 0 {}
}

/// Memory of its own, untouched: an address, or a negative number.
pub fn map(bytes: usize) -> isize {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    call(nr::MMAP, [0, bytes, READ_WRITE, PRIVATE_ANONYMOUS, usize::MAX, 0])
}

/// 0 in the child.
pub fn fork() -> isize {
    const SIGCHLD: usize = 17;
    call(nr::CLONE, [SIGCHLD, 0, 0, 0, 0, 0])
}

/// Until a child has ended.
pub fn wait_for_child() {
    const ANY: usize = usize::MAX;
    call(nr::WAIT4, [ANY, 0, 0, 0, 0, 0]);
}

/// Traces `process` so that its exit waits for this one.
pub fn hold_exit_of(process: usize) -> isize {
    const SEIZE: usize = 0x4206;
    const TRACE_EXIT: usize = 0x40;
    call(nr::PTRACE, [SEIZE, process, 0, TRACE_EXIT, 0, 0])
}

/// A character device node: `/dev/kmem`'s numbers, which nobody here shall have.
pub fn make_device(path: &[u8]) -> isize {
    const CHARACTER: usize = 0o020_666;
    call(nr::MKNODAT, [AT_FDCWD, path.as_ptr() as usize, CHARACTER, 1 << 8 | 2, 0, 0])
}

pub fn mount_tmpfs(at: &[u8]) -> isize {
    let kind = b"tmpfs\0".as_ptr() as usize;
    call(nr::MOUNT, [kind, at.as_ptr() as usize, kind, 0, 0, 0])
}

pub fn unshare_user() -> isize {
    const NEWUSER: usize = 0x1000_0000;
    call(nr::UNSHARE, [NEWUSER, 0, 0, 0, 0, 0])
}

pub fn clone3_nothing() -> isize {
    call(nr::CLONE3, [0, 0, 0, 0, 0, 0])
}

const INET: usize = 2;

pub const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// A port of 127.0.0.1, as the kernel writes it.
fn loopback(port: u16) -> [u8; 16] {
    socket_address(LOOPBACK, port)
}

fn socket_address([a, b, c, d]: [u8; 4], port: u16) -> [u8; 16] {
    let [high, low] = port.to_be_bytes();
    [INET as u8, 0, high, low, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
}

fn stream() -> isize {
    const STREAM_CLOEXEC: usize = 1 | 0o2_000_000;
    call(nr::SOCKET, [INET, STREAM_CLOEXEC, 0, 0, 0, 0])
}

/// A connection.
pub fn connect(address: [u8; 4], port: u16) -> isize {
    connected(stream(), address, port)
}

fn connected(fd: isize, address: [u8; 4], port: u16) -> isize {
    let to = socket_address(address, port);
    let done = call(nr::CONNECT, [fd as usize, to.as_ptr() as usize, to.len(), 0, 0, 0]);
    if done < 0 { done } else { fd }
}

/// A connection to a socket in the file system.
pub fn connect_unix(path: &[u8]) -> isize {
    const UNIX: usize = 1;
    const STREAM_CLOEXEC: usize = 1 | 0o2_000_000;
    const PATH_BYTES: usize = 108;
    const ENAMETOOLONG: isize = -36;
    let mut to = [0u8; 2 + PATH_BYTES];
    to[0] = UNIX as u8;
    if path.len() >= PATH_BYTES {
        return ENAMETOOLONG;
    }
    to[2..2 + path.len()].copy_from_slice(path);
    let fd = call(nr::SOCKET, [UNIX, STREAM_CLOEXEC, 0, 0, 0, 0]);
    if fd < 0 {
        return fd;
    }
    let done = call(nr::CONNECT, [fd as usize, to.as_ptr() as usize, to.len(), 0, 0, 0]);
    if done < 0 { done } else { fd }
}

/// Says that nothing more is written.
pub fn shut_down_writing(fd: usize) {
    call(nr::SHUTDOWN, [fd, 1, 0, 0, 0, 0]);
}

/// Listens on a port of 127.0.0.1.
pub fn listen(port: u16) -> isize {
    let fd = stream();
    let at = loopback(port);
    let bound = call(nr::BIND, [fd as usize, at.as_ptr() as usize, at.len(), 0, 0, 0]);
    if bound < 0 {
        return bound;
    }
    let done = call(nr::LISTEN, [fd as usize, 16, 0, 0, 0, 0]);
    if done < 0 { done } else { fd }
}

pub fn accept(fd: usize) -> isize {
    call(nr::ACCEPT4, [fd, 0, 0, 0, 0, 0])
}

/// One datagram to a port of 127.0.0.1.
pub fn send_datagram(port: u16, bytes: &[u8]) -> isize {
    const DATAGRAM_CLOEXEC: usize = 2 | 0o2_000_000;
    let fd = call(nr::SOCKET, [INET, DATAGRAM_CLOEXEC, 0, 0, 0, 0]);
    if fd < 0 {
        return fd;
    }
    let to = loopback(port);
    let sent = call(
        nr::SENDTO,
        [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, to.as_ptr() as usize, to.len()],
    );
    close(fd as usize);
    sent
}

/// The answer to one datagram: its length, or a negative number.
pub fn ask(address: [u8; 4], port: u16, question: &[u8], answer: &mut [u8]) -> isize {
    const DATAGRAM_CLOEXEC: usize = 2 | 0o2_000_000;
    let fd = call(nr::SOCKET, [INET, DATAGRAM_CLOEXEC, 0, 0, 0, 0]);
    let fd = connected(fd, address, port);
    if fd < 0 {
        return fd;
    }
    write(fd as usize, question);
    let length = read(fd as usize, answer);
    close(fd as usize);
    length
}
