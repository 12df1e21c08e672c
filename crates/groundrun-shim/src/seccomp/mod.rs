//! The filter of system calls that every program runs under: [`profile`] says which, [`compile`] makes it a program.
//!
//! Our own few lines and not a library's: a start pays for every instruction (the kernel runs a new filter over all
//! system calls), libraries make linear lists, and a tree of ranges costs a third of such a list. It also lets clone3
//! answer ENOSYS, which is what makes libc fall back to clone, in the same filter.

mod compile;
mod profile;

pub(crate) use crate::sys::seccomp::Instruction;

/// The filter for programs on this machine.
pub(crate) fn filter() -> Vec<Instruction> {
    compile::compile(profile::ARCHITECTURE, profile::rules())
}
