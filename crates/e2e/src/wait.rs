//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Longer than anything in these tests takes on two busy cores; reached only when something is broken.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
pub const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `seen` gives something, at most [`WITHIN`]; then fails and says what was waited for.
pub fn until<T>(what: &str, seen: impl FnMut() -> Option<T>) -> T {
    within(WITHIN, what, seen)
}

/// The same with a bound of one's own.
pub fn within<T>(bound: Duration, what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(it) = seen() {
            return it;
        }
        assert!(begun.elapsed() < bound, "not seen within {bound:?}: {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
fn pause() {
    std::thread::sleep(PAUSE);
}
