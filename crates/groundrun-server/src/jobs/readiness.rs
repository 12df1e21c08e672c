//! A write of a job is answered with the check's result, if that is there in a moment.
//!
//! Without it gcloud would see `Unknown` and ask again a second later, for a check that takes milliseconds.

use std::sync::Arc;

use groundrun_core::record::{Job, ReadinessState};
use groundrun_store::{Seen, Subject, Watcher};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{app::App, error::Outcome};

/// The job once its check is done, or as it is when the time is over. `watcher` was made before the write.
pub(super) async fn settled(app: &Arc<App>, mut watcher: Watcher, written: Job) -> Outcome<Job> {
    let until = Instant::now() + app.config.readiness_within;
    let news = Arc::new(Notify::new());
    let bell = Arc::clone(&news);
    watcher.on_change(move || bell.notify_one());
    let mut job = written;
    while is_open(&job) {
        // A change before the callback was set rang no bell, but the watcher has it.
        let changed = match watcher.poll() {
            Seen::Changes(changes) => {
                changes.iter().any(|change| change.subject == Subject::Job(job.uid))
            }
            Seen::Missed => true,
            Seen::Closed => break,
            Seen::Nothing => false,
        };
        if changed {
            let uid = job.uid;
            match app.read(move |view| Ok(view.job_by_uid(uid)?)).await? {
                Some(current) if current.generation == job.generation => job = current,
                // Deleted or replaced meanwhile: what was written is still the answer to this call.
                _ => break,
            }
        } else if timeout_at(until, news.notified()).await.is_err() {
            break;
        }
    }
    Ok(job)
}

fn is_open(job: &Job) -> bool {
    job.readiness.generation != job.generation || job.readiness.state == ReadinessState::Checking
}
