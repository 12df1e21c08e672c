//! What the tests ask for from inside a container. Each gives its exit code.

use crate::{kernel, out::Out, start::World};

const MIB: u64 = 1 << 20;
const PAGE: usize = 4096;

pub fn signal(number: u64) -> u8 {
    kernel::kill_self(number);
    // Process 1 survives what it does not handle.
    1
}

/// `1.5`: seconds and a fraction.
pub fn sleep(text: &[u8]) -> u8 {
    let mut seconds = 0u64;
    let mut nanos = 0u64;
    let mut unit = 0u64;
    for &byte in text {
        match byte {
            b'.' => unit = 1_000_000_000,
            b'0'..=b'9' if unit == 0 => seconds = seconds * 10 + u64::from(byte - b'0'),
            b'0'..=b'9' => {
                unit /= 10;
                nanos += u64::from(byte - b'0') * unit;
            }
            _ => return 64,
        }
    }
    kernel::sleep(seconds, nanos);
    0
}

pub fn wait_term(code: u8) -> u8 {
    kernel::hold_term();
    Out::stdout().text(b"waiting\n");
    kernel::await_term();
    Out::stdout().text(b"told to stop\n");
    code
}

/// A child of it listens; it ends with this process, as everything of a container does with process 1.
pub fn serve(port: u16, text: &[u8], after: &[u8], file: Option<&[u8]>) -> u8 {
    kernel::hold_term();
    match kernel::fork() {
        0 => {
            sleep(after);
            let made = file.map_or(0, |path| write_file(path, 1));
            if made != 0 {
                return made;
            }
            let listener = kernel::listen(port);
            if listener < 0 {
                return told(listener);
            }
            Out::stdout().text(b"listening\n");
            loop {
                let connection = kernel::accept(listener as usize);
                if connection >= 0 {
                    // What is asked does not matter, but that it was asked does: who closes unread bytes resets.
                    kernel::read(connection as usize, &mut [0; 1024]);
                    kernel::write(connection as usize, text);
                    kernel::close(connection as usize);
                }
            }
        }
        child if child < 0 => told(child),
        _ => {
            kernel::await_term();
            0
        }
    }
}

pub fn fetch(port: u16) -> u8 {
    let told_bytes = fetch_from(kernel::LOOPBACK, port);
    if told_bytes < 0 { told(told_bytes) } else { 0 }
}

/// Says all of `text` to a socket, and prints what comes.
pub fn ask(path: &[u8], text: &[u8]) -> u8 {
    let connection = kernel::connect_unix(path);
    if connection < 0 {
        return told(connection);
    }
    kernel::write(connection as usize, text);
    kernel::shut_down_writing(connection as usize);
    let heard = print_all(connection as usize);
    if heard == 0 {
        Out::stdout().text(b"closed\n");
    }
    if heard < 0 { told(heard) } else { 0 }
}

/// Prints what comes, and gives its length or a negative number.
fn fetch_from(address: [u8; 4], port: u16) -> isize {
    let connection = kernel::connect(address, port);
    if connection < 0 {
        return connection;
    }
    kernel::write(connection as usize, b"?");
    print_all(connection as usize)
}

/// Prints what comes to the end and closes it.
fn print_all(connection: usize) -> isize {
    let mut bytes = [0; 1024];
    let mut sum = 0;
    loop {
        match kernel::read(connection, &mut bytes) {
            length @ 1.. => {
                Out::stdout().text(&bytes[..length as usize]);
                sum += length;
            }
            ended => {
                kernel::close(connection);
                return if ended < 0 { ended } else { sum };
            }
        }
    }
}

/// Asks the metadata server's address for the name of the host, and there for so many answers.
pub fn host(port: u16, times: u64) -> u8 {
    const RESOLVER: [u8; 4] = [169, 254, 169, 254];
    const QUESTION: &[u8] = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
        \x04host\x06docker\x08internal\x00\x00\x01\x00\x01";
    const TRIES: u32 = 100;
    let mut answer = [0; 512];
    let length = kernel::ask(RESOLVER, 53, QUESTION, &mut answer);
    if length < 0 {
        return told(length);
    }
    // One address, as the last of it.
    if answer[7] != 1 {
        Out::stderr().text(b"no such name\n");
        return 1;
    }
    let at = length as usize - 4;
    let address = [answer[at], answer[at + 1], answer[at + 2], answer[at + 3]];
    let mut heard = 0;
    for _ in 0..TRIES {
        match fetch_from(address, port) {
            0 => {}
            error if error < 0 => return told(error),
            _ => heard += 1,
        }
        if heard == times {
            return 0;
        }
    }
    1
}

pub fn eat(mib: u64) -> u8 {
    let bytes = (mib * MIB) as usize;
    let at = kernel::map(bytes);
    if at < 0 {
        return 1;
    }
    for offset in (0..bytes).step_by(PAGE) {
        // SAFETY: inside the memory that was just mapped; volatile, so that each page is really touched.
        unsafe { core::ptr::write_volatile((at as usize + offset) as *mut u8, 1) };
    }
    Out::stdout().text(b"ate ").number(mib).text(b" MiB\n");
    0
}

pub fn write_file(path: &[u8], mib: u64) -> u8 {
    let mut path_z = [0u8; 256];
    let length = path.len().min(path_z.len() - 1);
    path_z[..length].copy_from_slice(&path[..length]);
    const WRITE_CREATE: usize = 0o1 | 0o100;
    let fd = kernel::open(&path_z, WRITE_CREATE);
    if fd < 0 {
        return told(fd);
    }
    let zeros = [0u8; PAGE];
    for _ in 0..mib * MIB / PAGE as u64 {
        let written = kernel::write(fd as usize, &zeros);
        if written != PAGE as isize {
            return told(written);
        }
    }
    Out::stdout().text(b"wrote ").number(mib).text(b" MiB\n");
    0
}

/// `path` ends with a zero and leads to a file that is there.
pub fn leave(path: &[u8], text: &[u8]) -> u8 {
    const WRITE: usize = 0o1;
    let fd = kernel::open(path, WRITE);
    if fd < 0 {
        return told(fd);
    }
    let written = kernel::write(fd as usize, text);
    if written < 0 { told(written) } else { 0 }
}

pub fn spew(lines: u64, bytes: u64) -> u8 {
    let mut out = Out::stdout();
    for line in 0..lines {
        out.number(line).text(b" ");
        for _ in 0..bytes {
            out.text(b"x");
        }
        out.text(b"\n");
    }
    0
}

/// So many numbered lines, with so many milliseconds behind each.
pub fn drip(lines: u64, millis: u64) -> u8 {
    for line in 0..lines {
        Out::stdout().number(line).text(b"\n");
        kernel::sleep(millis / 1000, millis % 1000 * 1_000_000);
    }
    0
}

pub fn stderr(text: &[u8]) -> u8 {
    Out::stderr().text(text).text(b"\n");
    0
}

pub fn args(world: &World) -> u8 {
    let mut out = Out::stdout();
    for (index, argument) in world.arguments().enumerate() {
        out.text(if index == 0 { b"" } else { b" " }).text(argument);
    }
    out.text(b"\n");
    0
}

pub fn env(world: &World) -> u8 {
    let mut out = Out::stdout();
    for entry in world.environment() {
        out.text(entry).text(b"\n");
    }
    0
}

/// `path` ends with a zero.
pub fn cat(path: &[u8]) -> u8 {
    let fd = kernel::open(path, 0);
    if fd < 0 {
        return told(fd);
    }
    let mut out = Out::stdout();
    let mut bytes = [0u8; PAGE];
    loop {
        match kernel::read(fd as usize, &mut bytes) {
            0 => return 0,
            error if error < 0 => return told(error),
            length => out.text(&bytes[..length as usize]),
        };
    }
}

/// Of each path its mode in octal, its owner and its group.
pub fn stat(world: &World) -> u8 {
    let mut code = 0;
    let mut n = 2;
    while let Some(path) = world.argument_z(n) {
        match kernel::stat(path) {
            Ok([mode, uid, gid]) => {
                let mut out = Out::stdout();
                for digit in [6, 3, 0] {
                    out.number(mode >> digit & 7);
                }
                out.text(b" ").number(uid).text(b" ").number(gid).text(b"\n");
            }
            Err(error) => code = told(error),
        }
        n += 1;
    }
    code
}

/// One name a line, in the kernel's order.
pub fn ls(path: &[u8]) -> u8 {
    const DIRECTORY: usize = 0o200_000;
    let fd = kernel::open(path, if cfg!(target_arch = "aarch64") { 0o40_000 } else { DIRECTORY });
    if fd < 0 {
        return told(fd);
    }
    let mut out = Out::stdout();
    let mut bytes = [0u8; PAGE];
    loop {
        let length = kernel::directory_entries(fd as usize, &mut bytes);
        if length <= 0 {
            return if length == 0 { 0 } else { told(length) };
        }
        let mut at = 0;
        while at < length as usize {
            let size = usize::from(u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]));
            let name = &bytes[at + 19..at + size];
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            out.text(&name[..end]).text(b"\n");
            at += size;
        }
    }
}

pub fn try_mknod() -> u8 {
    tried(kernel::make_device(b"/tmp-device\0"))
}

pub fn try_mount() -> u8 {
    tried(kernel::mount_tmpfs(b"/\0"))
}

pub fn try_unshare() -> u8 {
    tried(kernel::unshare_user())
}

pub fn try_clone3() -> u8 {
    tried(kernel::clone3_nothing())
}

pub fn fork_hold(seconds: &[u8]) -> u8 {
    match kernel::fork() {
        0 => sleep(seconds),
        child if child < 0 => told(child),
        _ => 0,
    }
}

/// The child fills memory.
pub fn fork_eat(mib: u64, seconds: &[u8]) -> u8 {
    match kernel::fork() {
        0 => eat(mib),
        child if child < 0 => told(child),
        _ => {
            kernel::wait_for_child();
            sleep(seconds);
            0
        }
    }
}

/// The child makes the end of process 1 wait for it, and never lets go.
pub fn hold_exit() -> u8 {
    match kernel::fork() {
        0 => match kernel::hold_exit_of(1) {
            error if error < 0 => told(error),
            _ => {
                Out::stdout().text(b"held\n");
                sleep(b"3600")
            }
        },
        child if child < 0 => told(child),
        _ => sleep(b"3600"),
    }
}

pub fn tell(world: &World, port: u64) -> u8 {
    let mut line = [0u8; 256];
    let mut length = 0;
    for name in [&b"CLOUD_RUN_EXECUTION"[..], b"CLOUD_RUN_TASK_INDEX", b"CLOUD_RUN_TASK_ATTEMPT"] {
        for &byte in world.variable(name).unwrap_or_default().iter().chain(b" ") {
            if length < line.len() {
                line[length] = byte;
                length += 1;
            }
        }
    }
    match kernel::send_datagram(port as u16, &line[..length]) {
        error if error < 0 => told(error),
        _ => 0,
    }
}

/// What must be refused: `permitted` is a failure of its own.
fn tried(result: isize) -> u8 {
    if result >= 0 {
        Out::stdout().text(b"permitted\n");
        return 1;
    }
    Out::stdout().text(b"errno ").number(result.unsigned_abs() as u64).text(b"\n");
    0
}

fn told(error: isize) -> u8 {
    Out::stderr().text(b"errno ").number(error.unsigned_abs() as u64).text(b"\n");
    1
}
