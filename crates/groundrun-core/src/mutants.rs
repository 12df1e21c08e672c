//! Named wrong turns, to show that the simulation and the scenarios can fail.
//!
//! Without the feature `mutants` every `mutant!` is the constant `false` and nothing of this is compiled. With it, one
//! mutant at a time is switched on for the current thread.

/// Is the mutant of this name switched on? A constant `false` without the feature `mutants`.
#[doc(hidden)]
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutants::on($name)
    };
}

#[cfg(not(feature = "mutants"))]
#[doc(hidden)]
#[inline(always)]
#[must_use]
pub const fn on(_name: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use active::{on, with};

#[cfg(feature = "mutants")]
mod active {
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Whether `name` is the mutant of this thread.
    #[must_use]
    pub fn on(name: &str) -> bool {
        ACTIVE.get() == Some(name)
    }

    /// Runs `f` with the mutant `name` switched on in this thread, also when `f` panics.
    pub fn with<T>(name: &'static str, f: impl FnOnce() -> T) -> T {
        struct Off;
        impl Drop for Off {
            fn drop(&mut self) {
                ACTIVE.set(None);
            }
        }
        let _off = Off;
        ACTIVE.set(Some(name));
        f()
    }
}
