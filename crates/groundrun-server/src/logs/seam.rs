//! The seam to what tasks wrote: the front reads it, the binary implements it over the backend.

use std::{io, num::NonZeroUsize};

use groundrun_core::{
    id::AttemptId,
    log::{LogLine, LogPosition},
};

/// What tasks wrote.
pub trait Logs: Send + Sync {
    /// At most `most` lines after `from`, in the order of writing, and where to read on; fewer where lines are long,
    /// none at the end as it is now. An attempt that wrote nothing, or whose log is gone, has no lines.
    fn read(
        &self,
        attempt: AttemptId,
        from: LogPosition,
        most: NonZeroUsize,
    ) -> io::Result<(Vec<LogLine>, LogPosition)>;
}
