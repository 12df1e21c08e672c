//! The wall clock. A shim has nobody to pass it the time.

use rustix::time::{ClockId, clock_gettime};

use crate::protocol::UnixNanos;

pub(crate) fn now() -> UnixNanos {
    let time = clock_gettime(ClockId::Realtime);
    UnixNanos(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}
