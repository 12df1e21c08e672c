//! A small job without a library: it is given its arguments and environment by the kernel and asks the kernel for the
//! rest. What it does is told in the crate's documentation.

#![no_std]
#![no_main]
#![no_builtins]

mod kernel;
mod out;
mod primes;
mod start;
mod verbs;

use start::World;

/// Runs the verb that the arguments name, and gives the exit code.
fn run(world: &World) -> u8 {
    let number = |index: usize| world.argument(index).and_then(number).unwrap_or(0);
    match world.argument(1) {
        None => primes::main(world),
        Some(b"true") => 0,
        Some(b"exit") => number(2) as u8,
        Some(b"signal") => verbs::signal(number(2)),
        Some(b"sleep") => verbs::sleep(world.argument(2).unwrap_or(b"0")),
        Some(b"wait-term") => verbs::wait_term(number(2) as u8),
        Some(b"eat") => verbs::eat(number(2)),
        Some(b"write-file") => verbs::write_file(world.argument(2).unwrap_or_default(), number(3)),
        Some(b"spew") => verbs::spew(number(2), number(3)),
        Some(b"drip") => verbs::drip(number(2), number(3)),
        Some(b"leave") => {
            verbs::leave(world.argument_z(2).unwrap_or(b"\0"), world.argument(3).unwrap_or_default())
        }
        Some(b"stderr") => verbs::stderr(world.argument(2).unwrap_or_default()),
        Some(b"args") => verbs::args(world),
        Some(b"env") => verbs::env(world),
        Some(b"status") => verbs::cat(b"/proc/self/status\0"),
        Some(b"cat") => verbs::cat(world.argument_z(2).unwrap_or(b"\0")),
        Some(b"stat") => verbs::stat(world),
        Some(b"ls") => verbs::ls(world.argument_z(2).unwrap_or(b"\0")),
        Some(b"try-mknod") => verbs::try_mknod(),
        Some(b"try-mount") => verbs::try_mount(),
        Some(b"try-unshare") => verbs::try_unshare(),
        Some(b"try-clone3") => verbs::try_clone3(),
        Some(b"fork-hold") => verbs::fork_hold(world.argument(2).unwrap_or(b"0")),
        Some(b"fork-eat") => verbs::fork_eat(number(2), world.argument(3).unwrap_or(b"0")),
        Some(b"hold-exit") => verbs::hold_exit(),
        Some(b"serve") => verbs::serve(
            number(2) as u16,
            world.argument(3).unwrap_or_default(),
            world.argument(4).unwrap_or(b"0"),
            world.argument(5),
        ),
        Some(b"fetch") => verbs::fetch(number(2) as u16),
        Some(b"ask") => {
            verbs::ask(world.argument(2).unwrap_or_default(), world.argument(3).unwrap_or_default())
        }
        Some(b"host") => verbs::host(number(2) as u16, number(3)),
        Some(b"tell") => verbs::tell(world, number(2)),
        Some(_) => {
            out::Out::stderr().text(b"no such verb\n");
            64
        }
    }
}

/// A decimal number.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}
