//! Whether a job could run: what it needs besides images is looked up on this machine, then its images are asked for.
//!
//! What is missing is looked for again every second for a while: whoever was told adds it, and need not wait until the engine
//! asks the next time.

mod authorization;
mod cloudsql;
mod networks;
mod secrets;
mod volumes;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use groundrun_core::{
    id::JobUid,
    needs::Needs,
    port::{CheckFault, ImageRequest, Images, Inbox, NeedFault, News, Provisions, Secrets},
    readiness::CHECK_AGAIN,
};
use groundrun_host::{SharedFiles, instances::Target, network::Networks};

use crate::authorization::Policies;

/// Checks that wait: a job each, and a project has at most 1,000 in a region. What is dropped is asked again.
const QUEUE_MAX: usize = 1024;

/// Between two looks for what was missing: a few reads of the journal for each job.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What this server's settings and its data directory provide.
pub(crate) struct Provided {
    /// Where Cloud SQL instances lead.
    pub(crate) instances: BTreeMap<String, Target>,
    /// Networks of this machine that jobs may name.
    pub(crate) networks: Arc<Networks>,
    /// Where what secrets hold is asked for.
    pub(crate) secrets: Arc<dyn Secrets>,
    /// Buckets and NFS directories.
    pub(crate) files: SharedFiles,
    /// Which images may run, where jobs name a policy.
    pub(crate) policies: Policies,
}

impl Provisions for Provided {
    fn check(&self, needs: &Needs) -> Result<(), NeedFault> {
        together([
            secrets::check(&*self.secrets, needs),
            cloudsql::check(&needs.instances, &self.instances),
            needs.authorization.iter().try_for_each(|it| authorization::check(&self.policies, it)),
            needs.connection.iter().try_for_each(|it| networks::check(&self.networks, it)),
            volumes::check(&self.files, needs),
        ])
    }
}

/// All that is missing at once, so that nobody mends one thing to be told of the next; of the first one's kind.
fn together(checks: impl IntoIterator<Item = Result<(), NeedFault>>) -> Result<(), NeedFault> {
    let mut faults = checks.into_iter().filter_map(Result::err);
    let Some(mut first) = faults.next() else { return Ok(()) };
    for fault in faults {
        first.message.push('\n');
        first.message.push_str(&fault.message);
    }
    Err(first)
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
        let looker = Looker { provisions, next, inbox, missing: BTreeMap::new() };
        thread::Builder::new()
            .name("provisions".to_owned())
            .spawn(move || looker.attend(&requests))?;
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

/// The thread's own.
struct Looker {
    provisions: Arc<dyn Provisions>,
    next: Arc<dyn Images>,
    inbox: Arc<dyn Inbox>,
    /// What was missing for a job, until the engine asks about it again.
    missing: BTreeMap<JobUid, Missing>,
}

/// Why a job could not run.
struct Missing {
    request: ImageRequest,
    fault: NeedFault,
    since: Instant,
}

impl Looker {
    fn attend(mut self, requests: &Receiver<ImageRequest>) {
        let mut looked = Instant::now();
        loop {
            let request = match self.missing.is_empty() {
                true => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => requests.recv_timeout(LOOK_EVERY),
            };
            match request {
                Ok(request) => self.look(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look_again();
            }
        }
    }

    /// Tells what is missing, or hands the question on.
    fn look(&mut self, request: ImageRequest) {
        let ImageRequest::Check { job, generation, needs, .. } = &request else { return };
        let (job, generation) = (*job, *generation);
        let Err(fault) = self.provisions.check(needs) else {
            self.missing.remove(&job);
            return self.next.ask(request);
        };
        let result = Err(CheckFault::Need(fault.clone()));
        if self.missing.len() < QUEUE_MAX {
            self.missing.insert(job, Missing { request, fault, since: Instant::now() });
        }
        self.inbox.tell(News::Checked { job, generation, result });
    }

    /// Whatever changed since is told; what stays missing is forgotten when the engine is about to ask itself.
    fn look_again(&mut self) {
        self.missing.retain(|_, missing| missing.since.elapsed() < CHECK_AGAIN);
        let has_changed = |missing: &&Missing| match &missing.request {
            ImageRequest::Check { needs, .. } => {
                self.provisions.check(needs).err().as_ref() != Some(&missing.fault)
            }
            _ => false,
        };
        let changed: Vec<_> = self.missing.values().filter(has_changed).collect();
        let changed: Vec<_> = changed.iter().map(|missing| missing.request.clone()).collect();
        changed.into_iter().for_each(|request| self.look(request));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError, mpsc};

    use groundrun_core::{id::AttemptId, port::NeedKind};

    use super::*;

    /// Answers with what was put there, or that nothing is missing.
    #[derive(Default)]
    struct Told(Mutex<Option<&'static str>>);

    impl Told {
        fn set(&self, text: Option<&'static str>) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }

    impl Provisions for Told {
        fn check(&self, _: &Needs) -> Result<(), NeedFault> {
            match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(text) => Err(NeedFault { kind: NeedKind::Secret, message: text.to_owned() }),
                None => Ok(()),
            }
        }
    }

    /// What is heard and asked, as lines.
    struct Lines(mpsc::SyncSender<String>);

    impl Inbox for Lines {
        fn tell(&self, news: News) {
            let News::Checked { result: Err(CheckFault::Need(fault)), .. } = news else {
                panic!("{news:?}")
            };
            self.0.send(fault.message).expect("somebody listens");
        }
    }

    impl Images for Lines {
        fn ask(&self, _: ImageRequest) {
            self.0.send("images".to_owned()).expect("somebody listens");
        }
    }

    #[test]
    fn all_that_is_missing_is_told_at_once_by_the_first_ones_reason() {
        let fault = |kind, message: &str| Err(NeedFault { kind, message: message.to_owned() });
        let (secret, files) = (fault(NeedKind::Secret, "a\nb"), fault(NeedKind::Files, "c"));
        assert_eq!(together([Ok(()), secret, Ok(()), files]), fault(NeedKind::Secret, "a\nb\nc"));
        assert_eq!(together([Ok(()), Ok(())]), Ok(()));
    }

    #[test]
    fn what_was_missing_and_came_is_noticed_without_being_asked() {
        let told = Arc::new(Told::default());
        let (sender, lines) = mpsc::sync_channel(8);
        let (images, inbox) = (Arc::new(Lines(sender.clone())), Arc::new(Lines(sender)));
        told.set(Some("both"));
        let checked = Checked::start(told.clone(), images, inbox).expect("a thread can be made");
        let id: AttemptId =
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6/0-0".parse().expect("it is an id");
        let job = JobUid(id.execution.0);
        checked.ask(ImageRequest::Check {
            job,
            generation: 1,
            images: vec![],
            needs: Needs::default(),
        });
        let next = || lines.recv_timeout(Duration::from_secs(30)).expect("it is told");
        assert_eq!(next(), "both");
        told.set(Some("one"));
        assert_eq!(next(), "one");
        told.set(None);
        assert_eq!(next(), "images");
    }
}
