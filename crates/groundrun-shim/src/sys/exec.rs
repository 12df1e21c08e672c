//! The exec itself, and what comes right before it.

use std::{
    ffi::{CStr, CString},
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::Command,
    ptr,
};

use rustix::{fs::Mode, io::Errno, process::Signal};

/// Strings as the kernel takes them: pointers, then null. Borrows what it points to.
#[derive(Debug)]
pub(crate) struct CStrings<'text> {
    pointers: Vec<*const libc::c_char>,
    text: std::marker::PhantomData<&'text CStr>,
}

impl<'text> CStrings<'text> {
    pub(crate) fn new(strings: impl IntoIterator<Item = &'text CString>) -> Self {
        let pointers = strings.into_iter().map(|text| text.as_ptr()).chain([ptr::null()]);
        Self { pointers: pointers.collect(), text: std::marker::PhantomData }
    }
}

/// Replaces this process's program. Returns only when the kernel refuses.
pub(crate) fn execve(program: &CStr, argv: &CStrings<'_>, env: &CStrings<'_>) -> Errno {
    // SAFETY: the path is a C string and both lists end with null and point to C strings that outlive the call.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_execve,
            program.as_ptr(),
            argv.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    };
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// Makes the program of `command` end with the thread that starts it. It leads a process group of its own, begins in the
/// directory `place`, makes files that are everybody's, and has nothing of what this process ignores.
pub(crate) fn beside_its_parent(command: &mut Command, place: OwnedFd) {
    let parent = rustix::process::getpid();
    let prepare = move || -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::NotFound.into());
        }
        rustix::process::setpgid(None, None)?;
        rustix::process::fchdir(&place)?;
        rustix::process::umask(Mode::empty());
        super::signals::for_program();
        Ok(())
    };
    // SAFETY: `prepare` makes system calls alone, on values that were there before the fork.
    unsafe { command.pre_exec(prepare) };
}
