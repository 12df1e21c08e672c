//! The exec itself.

use std::{
    ffi::{CStr, CString},
    ptr,
};

use rustix::io::Errno;

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
