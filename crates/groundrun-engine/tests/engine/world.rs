//! A store in a temporary directory, and a backend that does as it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use groundrun_api::selector::Selector;
use groundrun_core::{
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    port::{
        Action, Backend, ImageRequest, Images, ImportedImage, Inbox, Limits, News, Observation,
    },
    record::{Cause, Completed, Ending, Execution, ExecutionState, Exit, Job, Outcome},
};
use groundrun_engine::{Engine, EngineConfig, Mailbox};
use groundrun_store::{ListQuery, Store, StoreError, Tx, WriteError};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use testkit::sample::{self, Shape};
use uuid::Uuid;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    store: Store,
    pub(crate) backend: Arc<Told>,
    boot: Mutex<u128>,
    resync: Duration,
    /// How many seconds the engine's clock is behind.
    behind: Arc<AtomicI64>,
    _dir: TempDir,
}

#[expect(clippy::disallowed_methods, reason = "a test of the loop runs in real time")]
fn now() -> Timestamp {
    Timestamp::now()
}

impl World {
    pub(crate) fn new(answer: Answer) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let store = Store::open(dir.path()).expect("a new store");
        let world = Self {
            backend: Arc::new(Told::new(store.clone(), answer)),
            store,
            boot: Mutex::new(1),
            resync: Duration::from_secs(60),
            behind: Arc::default(),
            _dir: dir,
        };
        let mut job = sample::job(&Shape::default(), now());
        world.write(move |tx| Ok(tx.insert_job(&mut job, &BTreeMap::new())?));
        world
    }

    pub(crate) fn resync_every(mut self, resync: Duration) -> Self {
        self.resync = resync;
        self
    }

    pub(crate) fn set_clock_back(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).expect("it is some hours");
        self.behind.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn reboot(&self) -> &Self {
        *self.boot.lock().expect("not poisoned") += 1;
        self
    }

    pub(crate) fn start_engine(&self) -> Engine {
        let mailbox = Mailbox::new();
        let behind = self.behind.clone();
        self.backend.tell_to(mailbox.clone());
        let config = EngineConfig {
            budget: Limits { cpu_millis: 1_000_000, memory_bytes: 1 << 40 },
            boot_id: BootId(Uuid::from_u128(*self.boot.lock().expect("not poisoned"))),
            clock: Arc::new(move || {
                now() - SignedDuration::from_secs(behind.load(Ordering::Relaxed))
            }),
            resync: self.resync,
        };
        let images = Arc::new(AllThere(mailbox.clone()));
        let backend = self.backend.clone();
        Engine::start(config, self.store.clone(), mailbox, backend, images).expect("a thread")
    }

    pub(crate) fn run(&self, shape: &Shape) -> ExecutionUid {
        self.run_as(7, shape)
    }

    pub(crate) fn run_as(&self, number: u128, shape: &Shape) -> ExecutionUid {
        let mut execution = sample::execution(shape, number, now());
        let uid = execution.uid;
        self.write(move |tx| Ok(tx.insert_execution(&mut execution, &BTreeMap::new())?));
        uid
    }

    /// Executions of these numbers that completed before this world began, in their order.
    pub(crate) fn have_run(&self, numbers: std::ops::Range<u128>) {
        let begin = now() - SignedDuration::from_hours(1);
        self.write(move |tx| {
            for number in numbers {
                let at =
                    begin + SignedDuration::from_millis(number.try_into().expect("a small number"));
                let mut execution = sample::execution(&Shape::default(), number, at);
                execution.state.completed = Some(Completed { at, outcome: Outcome::Succeeded });
                tx.insert_execution(&mut execution, &BTreeMap::new())?;
            }
            Ok(())
        });
    }

    /// The numbers of all executions that a client sees.
    pub(crate) fn numbers(&self) -> BTreeSet<u128> {
        let query = ListQuery {
            project: "demo",
            region: None,
            selector: &Selector::default(),
            limit: NonZeroU32::new(10_000).expect("it is not 0"),
            after: None,
        };
        let page = self.store.read(|view| view.executions(&query)).expect("it can be read");
        page.items.into_iter().map(|execution| execution.uid.0.as_u128()).collect()
    }

    /// How many deleted executions have rows left.
    pub(crate) fn to_reap(&self) -> usize {
        self.store.read(|view| view.to_delete()).expect("it can be read").len()
    }

    pub(crate) fn delete_job(&self) {
        self.write(move |tx| Ok(tx.delete_job(JobUid(Uuid::nil())).map(drop)?));
    }

    pub(crate) fn cancel(&self, uid: ExecutionUid) {
        self.write(move |tx| {
            let mut execution = tx.execution_by_uid(uid)?.expect("it is there");
            execution.wishes.cancel = Some(now());
            execution.generation += 1;
            Ok(tx.update_wishes(&mut execution, &BTreeMap::new())?)
        });
    }

    pub(crate) fn delete(&self, uid: ExecutionUid) {
        self.write(move |tx| Ok(tx.delete_execution(uid).map(drop)?));
    }

    pub(crate) fn state(&self, uid: ExecutionUid) -> ExecutionState {
        self.execution(uid).expect("it is there").state
    }

    pub(crate) fn is_reaped(&self, uid: ExecutionUid) -> bool {
        self.execution(uid).is_none()
    }

    pub(crate) fn job(&self) -> Job {
        let read = self.store.read(|view| view.job_by_uid(JobUid(Uuid::nil())));
        read.expect("it can be read").expect("it is there")
    }

    pub(crate) fn wait_completed(&self, uid: ExecutionUid) -> ExecutionState {
        self.wait(|| self.state(uid).completed.is_some());
        self.state(uid)
    }

    /// Waits until it holds: looked at after each change of the records.
    pub(crate) fn wait(&self, holds: impl Fn() -> bool) {
        let mut watcher = self.store.watch();
        let end = now() + PATIENCE;
        while !holds() {
            assert!(now() < end, "it does not hold after {PATIENCE:?}");
            let _ = watcher.wait(Duration::from_millis(20));
        }
    }

    fn execution(&self, uid: ExecutionUid) -> Option<Execution> {
        self.store.read(|view| view.execution_by_uid(uid)).expect("it can be read")
    }

    fn write(
        &self,
        body: impl FnOnce(&mut Tx<'_>) -> Result<(), WriteError<Infallible>> + Send + 'static,
    ) {
        self.store.write(now(), body).expect("it can be written");
    }
}

/// What the backend says to a start, and to the question what became of one.
#[derive(Clone)]
pub(crate) enum Answer {
    EndsAtOnce(Ending),
    /// The tasks below this number start, and are not heard of again until they are stopped.
    StartsOnly {
        tasks: u32,
    },
    Nothing,
}

/// A backend that answers as it is told, at once and on the caller's thread.
pub(crate) struct Told {
    store: Store,
    state: Mutex<State>,
}

struct State {
    answer: Answer,
    mailbox: Option<Arc<Mailbox>>,
    actions: Vec<Action>,
    started: BTreeSet<AttemptId>,
    starts_without_intent: usize,
}

impl Told {
    fn new(store: Store, answer: Answer) -> Self {
        let state = State {
            answer,
            mailbox: None,
            actions: Vec::new(),
            started: BTreeSet::new(),
            starts_without_intent: 0,
        };
        Self { store, state: Mutex::new(state) }
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.lock().answer = answer;
    }

    pub(crate) fn starts(&self) -> usize {
        self.lock().started.len()
    }

    pub(crate) fn starts_without_intent(&self) -> usize {
        self.lock().starts_without_intent
    }

    pub(crate) fn take_actions(&self) -> Vec<Action> {
        std::mem::take(&mut self.lock().actions)
    }

    fn tell_to(&self, mailbox: Arc<Mailbox>) {
        self.lock().mailbox = Some(mailbox);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    fn is_intended(&self, id: AttemptId) -> bool {
        let attempts =
            self.store.read::<_, StoreError>(|view| view.attempts_of_task(id.execution, id.task));
        attempts.expect("it can be read").iter().any(|attempt| attempt.id == id)
    }
}

impl State {
    fn tell(&self, id: AttemptId, seen: Observation) {
        let mailbox = self.mailbox.as_ref().expect("an engine was started");
        mailbox.tell(News::Attempt { id, seen });
    }

    fn say(&self, id: AttemptId) {
        let at = now();
        match self.answer.clone() {
            Answer::EndsAtOnce(ending) => {
                self.tell(id, Observation::Started { at });
                self.tell(id, Observation::Ended { at, ending });
            }
            Answer::StartsOnly { tasks } if id.task < tasks => {
                self.tell(id, Observation::Started { at });
            }
            Answer::StartsOnly { .. } | Answer::Nothing => {}
        }
    }
}

impl Backend for Told {
    fn apply(&self, action: Action) {
        let intended = match &action {
            Action::Start(spec) => self.is_intended(spec.id),
            _ => true,
        };
        let mut state = self.lock();
        state.starts_without_intent += usize::from(!intended);
        match &action {
            Action::Start(spec) => {
                state.started.insert(spec.id);
                state.say(spec.id);
            }
            Action::Adopt(id) => state.say(*id),
            Action::Stop { id, .. } => {
                let (exit, cause) = (Exit::Signal(15), Cause::Asked);
                let ending = Ending::Exited {
                    exit,
                    cause,
                    memory_peak: None,
                    message: None,
                    container: None,
                };
                state.tell(*id, Observation::Ended { at: now(), ending });
            }
            Action::Forget(_) | Action::Discard(_) => {}
        }
        state.actions.push(action);
    }
}

/// Images that are always there.
struct AllThere(Arc<Mailbox>);

impl Images for AllThere {
    fn ask(&self, request: ImageRequest) {
        let image = |_| ImportedImage { digest: "sha256:1".to_owned(), stale: None };
        match request {
            ImageRequest::Check { job, generation, .. } => {
                self.0.tell(News::Checked { job, generation, result: Ok(()) });
            }
            ImageRequest::Import { execution, images } => {
                let result = Ok(images.iter().map(image).collect());
                self.0.tell(News::Imported { execution, result });
            }
            ImageRequest::Release(_) => {}
        }
    }
}
