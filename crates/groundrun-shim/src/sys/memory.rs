//! Memory that was used once.

/// Gives freed memory back to the kernel: a spawner's is copied into every shim, and a shim may live for days.
#[cfg(target_env = "gnu")]
pub(crate) fn trim() {
    // SAFETY: malloc_trim only touches memory that is free.
    unsafe { libc::malloc_trim(0) };
}

/// Gives freed memory back to the kernel. Other libcs than glibc do it by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim() {}
