//! The seam to what tasks wrote: the front reads it, the binary implements it over the backend.

use std::{any::Any, io, num::NonZeroUsize, sync::Arc};

use groundrun_core::{
    id::AttemptId,
    log::{LogLine, LogPosition},
};

/// What is called when there may be more.
pub type Grown = Arc<dyn Fn() + Send + Sync>;

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

    /// Calls `grown` whenever the attempt has written more, or may have, until what is given is dropped. What was written
    /// before is not told: read after this. An error: nobody will say it, and the log is to be looked at now and then.
    fn listen(&self, attempt: AttemptId, grown: Grown) -> io::Result<Box<dyn Any + Send>>;
}
