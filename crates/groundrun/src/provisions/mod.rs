//! Whether a job could run: what it needs besides images is looked up on this machine, then its images are asked for.

mod cloudsql;
mod networks;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use groundrun_core::{
    needs::Needs,
    port::{CheckFault, ImageRequest, Images, Inbox, NeedFault, News, Provisions},
};
use groundrun_host::{instances::Target, network::Networks};

/// Checks that wait: a job each, and a project has at most 1,000 in a region. What is dropped is asked again.
const QUEUE_MAX: usize = 1024;

/// What this server's settings and its data directory provide.
pub(crate) struct Provided {
    /// Where Cloud SQL instances lead.
    pub(crate) instances: BTreeMap<String, Target>,
    /// Networks of this machine that jobs may name.
    pub(crate) networks: Arc<Networks>,
}

impl Provisions for Provided {
    fn check(&self, needs: &Needs) -> Result<(), NeedFault> {
        cloudsql::check(&needs.instances, &self.instances)?;
        needs.connection.iter().try_for_each(|it| networks::check(&self.networks, it))
    }
}

/// Images, asked about only for jobs that have everything else.
pub(crate) struct Checked {
    images: Arc<dyn Images>,
    checks: SyncSender<ImageRequest>,
}

impl Checked {
    /// Begins a thread that ends with the value: looking something up may wait for a disk, and the engine must not.
    pub(crate) fn start(
        provisions: Arc<dyn Provisions>,
        images: Arc<dyn Images>,
        inbox: Arc<dyn Inbox>,
    ) -> io::Result<Self> {
        let (checks, requests) = sync_channel(QUEUE_MAX);
        let next = Arc::clone(&images);
        thread::Builder::new().name("provisions".to_owned()).spawn(move || {
            for request in requests {
                match missing(&*provisions, &request) {
                    Some(news) => inbox.tell(news),
                    None => next.ask(request),
                }
            }
        })?;
        Ok(Self { images, checks })
    }
}

impl Images for Checked {
    fn ask(&self, request: ImageRequest) {
        if !matches!(request, ImageRequest::Check { .. }) {
            return self.images.ask(request);
        }
        match self.checks.try_send(request) {
            Ok(()) => {}
            Err(TrySendError::Full(request)) => {
                tracing::warn!(?request, "more than {QUEUE_MAX} checks wait: dropped");
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::error!("the thread for checks has ended");
            }
        }
    }
}

/// What to tell of a check that ends here.
fn missing(provisions: &dyn Provisions, request: &ImageRequest) -> Option<News> {
    let ImageRequest::Check { job, generation, needs, .. } = request else { return None };
    let fault = provisions.check(needs).err()?;
    let result = Err(CheckFault::Need(fault));
    Some(News::Checked { job: *job, generation: *generation, result })
}
