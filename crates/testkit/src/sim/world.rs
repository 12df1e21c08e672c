//! The loop of a world: what happens next, happens.

use std::collections::BTreeMap;

use groundrun_core::{
    id::{AttemptId, BootId, ExecutionUid, JobUid},
    port::{Action, ImageRequest, Limits, News, Observation},
    record::{Ending, ReadinessState},
};
use groundrun_engine::brain::{Brain, BrainConfig, Changes, Events, Tick};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Fault, Report,
    backend::{Effect, Machine},
    random::Random,
    records::{Memory, Records},
    registry::Registry,
};
use crate::sample::{self, Shape};

/// For this long clients do things and things go wrong.
const TROUBLE_SECONDS: i64 = 120;

/// So long after the trouble everything must be over. The longest way: 9 waits for a registry that came back, tasks one
/// after the other with all their retries and back-offs, news lost to the end and asked for again.
const PATIENCE_SECONDS: i64 = 3600;

/// Completed executions that are kept.
const RETAINED: u32 = 2;

/// Things that happen in one world at most: many times what any needs, so that a brain that never rests is found out.
const EVENTS_MAX: u64 = 20_000;

const MEMORY: u64 = 4 << 30;

/// Whether a world tells what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Nothing is told.
    Off,
    /// Every event, on standard error.
    On,
}

/// Lives through the world of a seed.
///
/// # Errors
/// The first sentence that does not hold.
pub fn run(seed: u64, trace: Trace) -> Result<Report, Fault> {
    let mut world = World::new(seed, trace);
    world.populate();
    world.live().map_err(|what| Fault { seed, at: world.now, what })?;
    world.report.completed = world.records.get().completed;
    Ok(world.report)
}

#[derive(Debug)]
enum Event {
    /// Comes to the server of this life, if that still lives.
    News {
        life: u64,
        news: News,
    },
    Image {
        life: u64,
        request: ImageRequest,
    },
    Ends(AttemptId),
    Run(Shape),
    Cancel(u128),
    Delete(u128),
    NewGeneration,
    Trouble(Trouble),
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    Reboot,
    KillMonitor,
    FullDisk,
    Unreadable,
    SilentRegistry,
    MissedChanges,
    Stranger,
}

/// How often what goes wrong, in a thousand.
#[derive(Debug)]
struct Odds {
    killed_in_tick: u64,
    lost: u64,
    repeated: u64,
    late: u64,
    contradicted: u64,
}

struct World {
    random: Random,
    odds: Odds,
    now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), Event>,
    made: u64,
    records: Memory,
    machine: Machine,
    registry: Registry,
    executions: u128,
    boot: u128,
    /// Counts the lives of the server.
    life: u64,
    server: Option<Server>,
    report: Report,
    trace: Trace,
}

struct Server {
    brain: Brain<Memory>,
    news: Vec<News>,
    tick_at: Timestamp,
    missed: bool,
}

impl World {
    fn new(seed: u64, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        // One world in four has no kills, one in four loses no news: what heals must not hide what is wrong.
        let some = |random: &mut Random, most: u64| {
            if random.per_mille(250) { 0 } else { random.below(most) }
        };
        let odds = Odds {
            killed_in_tick: some(&mut random, 80),
            lost: some(&mut random, 150),
            repeated: some(&mut random, 150),
            late: some(&mut random, 100),
            contradicted: some(&mut random, 150),
        };
        let budget = Limits { cpu_millis: 16_000, memory_bytes: MEMORY };
        let boot = BootId(Uuid::from_u128(1));
        let mut world = Self {
            random,
            odds,
            now: Timestamp::UNIX_EPOCH,
            queue: BTreeMap::new(),
            made: 0,
            records: Memory::new(Records::new(boot, budget)),
            machine: Machine::default(),
            registry: Registry::default(),
            executions: 0,
            boot: 1,
            life: 0,
            server: None,
            report: Report::default(),
            trace,
        };
        world.start_server();
        world
    }

    /// What clients will do and what will go wrong.
    fn populate(&mut self) {
        self.records.get_mut().put_job(sample::job(&Shape::default(), self.now));
        for number in 1..=1 + u128::from(self.random.below(4)) {
            let shape = self.shape();
            self.some_time(Event::Run(shape));
            for _ in 0..self.random.below(3) {
                if self.random.per_mille(300) {
                    self.some_time(Event::Cancel(number));
                }
            }
            if self.random.per_mille(200) {
                self.some_time(Event::Delete(number));
            }
        }
        if self.random.per_mille(300) {
            self.some_time(Event::NewGeneration);
        }
        let troubles = [
            Trouble::Reboot,
            Trouble::KillMonitor,
            Trouble::KillMonitor,
            Trouble::FullDisk,
            Trouble::Unreadable,
            Trouble::SilentRegistry,
            Trouble::MissedChanges,
            Trouble::Stranger,
            Trouble::Kill,
        ];
        for _ in 0..self.random.below(6) {
            if let Some(trouble) = self.random.pick(&troubles) {
                self.some_time(Event::Trouble(trouble));
            }
        }
    }

    fn shape(&mut self) -> Shape {
        let memory = ["512Mi", "512Mi", "1Gi", "3Gi", "5Gi"];
        let mut number = |end: u64| i32::try_from(self.random.below(end)).unwrap_or(0);
        let (tasks, parallelism, max_retries) = (1 + number(8), number(4), number(4));
        let memory = memory[usize::try_from(number(5)).unwrap_or(0)].to_owned();
        Shape { tasks, parallelism, max_retries, memory, cpu: "1".to_owned() }
    }

    /// Until everything is over.
    fn live(&mut self) -> Result<(), String> {
        let mut events = 0;
        while !self.is_over() {
            events += 1;
            if events > EVENTS_MAX {
                return Err("it never rests".to_owned());
            }
            let event = self.queue.first_key_value().map(|((at, _), _)| *at);
            let tick = self.server.as_ref().map(|server| server.tick_at);
            let next = event.into_iter().chain(tick).min();
            self.now = next.ok_or("nothing will ever happen again")?.max(self.now);
            if self.now.as_second() > TROUBLE_SECONDS + PATIENCE_SECONDS {
                return Err(format!("it is not over in time: {}", self.open_ends()));
            }
            self.records.get_mut().now = self.now;
            match self.queue.pop_first() {
                Some((key, event)) if key.0 <= self.now => self.happen(event),
                Some((key, event)) => {
                    self.queue.insert(key, event);
                    self.tick();
                }
                None => self.tick(),
            }
            self.faults()?;
        }
        self.in_order()
    }

    fn trouble_is_over(&self) -> bool {
        self.now.as_second() > TROUBLE_SECONDS
    }

    fn is_over(&self) -> bool {
        let records = self.records.get();
        let over = records.executions.values().all(|execution| {
            execution.state.completed.is_some()
                && execution.wishes.delete.is_none()
                && execution.state.observed_generation == execution.generation
        });
        let checked = records.jobs.values().all(|job| {
            job.readiness.generation == job.generation
                && job.readiness.state == ReadinessState::Ready
        });
        let idle = self.queue.is_empty()
            && self.server.as_ref().is_some_and(|server| {
                server.news.is_empty()
                    && server.tick_at > self.now
                    && server.brain.runs().next().is_none()
            });
        self.trouble_is_over() && over && checked && idle && !records.has_changes()
    }

    fn faults(&mut self) -> Result<(), String> {
        let of_records = std::mem::take(&mut self.records.get_mut().faults);
        let of_machine = std::mem::take(&mut self.machine.faults);
        match of_records.into_iter().chain(of_machine).next() {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// What must hold when all is over.
    fn in_order(&self) -> Result<(), String> {
        let records = self.records.get();
        if let Some(id) = self.machine.running().next() {
            return Err(format!("{id} runs for ever"));
        }
        // What was to be forgotten when the server died is told again to the next one. Where that is lost too, it stays
        // until its execution is discarded.
        let unheard = self.odds.lost > 0 || records.unreadable_until != Timestamp::UNIX_EPOCH;
        let excused = |id: &&AttemptId| {
            unheard && self.report.crashes > 0 && records.executions.contains_key(&id.execution)
        };
        if let Some(id) = self.machine.containers.keys().find(|id| !excused(id)) {
            return Err(format!("{id} is left on the machine"));
        }
        if let Some(uid) = self.registry.pinned.iter().next() {
            return Err(format!("the images of {uid} are kept for ever"));
        }
        // A server that died before it came to it leaves it to the next completion.
        let undisturbed =
            self.report.crashes == 0 && records.unreadable_until == Timestamp::UNIX_EPOCH;
        if undisturbed && records.executions.len() > RETAINED as usize {
            return Err(format!("{} executions are kept", records.executions.len()));
        }
        Ok(())
    }

    fn open_ends(&self) -> String {
        let records = self.records.get();
        let running: Vec<AttemptId> = self.machine.running().collect();
        let runs = self.server.iter().flat_map(|server| server.brain.runs());
        let runs: Vec<ExecutionUid> = runs.map(groundrun_core::progress::Run::uid).collect();
        let states: Vec<_> = records.executions.values().map(|each| &each.state).collect();
        let jobs: Vec<_> = records.jobs.values().map(|job| &job.readiness).collect();
        format!("{running:?} run on the machine; in memory {runs:?}; {jobs:?}; {states:?}")
    }
}

/// What happens.
impl World {
    fn happen(&mut self, event: Event) {
        self.tell_trace(&event);
        match event {
            Event::News { life, news } if life == self.life => self.deliver(news),
            Event::Image { life, request } if life == self.life => self.answer(&request),
            Event::News { .. } | Event::Image { .. } => {}
            Event::Ends(id) => {
                let effect = self.machine.ends(id, &mut self.random, self.now);
                self.follow(effect);
            }
            Event::Run(shape) => self.run(&shape),
            Event::Cancel(number) => {
                let now = self.now;
                self.records.get_mut().wish(uid(number), |execution| {
                    if execution.state.completed.is_none() && execution.wishes.delete.is_none() {
                        execution.wishes.cancel = Some(now);
                        execution.generation += 1;
                    }
                });
            }
            Event::Delete(number) => {
                let now = self.now;
                self.records
                    .get_mut()
                    .wish(uid(number), |execution| execution.wishes.delete = Some(now));
            }
            Event::NewGeneration => {
                let job = self.records.get().jobs.get(&JobUid(Uuid::nil())).cloned();
                if let Some(mut job) = job {
                    job.generation += 1;
                    self.records.get_mut().put_job(job);
                }
            }
            Event::Trouble(trouble) => self.go_wrong(trouble),
            Event::Restart => self.start_server(),
        }
        self.wake_server();
    }

    fn run(&mut self, shape: &Shape) {
        self.executions += 1;
        let execution = sample::execution(shape, self.executions, self.now);
        if self.random.per_mille(50) {
            self.registry.missing.insert(execution.uid);
        }
        self.records.get_mut().insert(execution);
    }

    fn go_wrong(&mut self, trouble: Trouble) {
        let until = self.now + self.random.millis(30_000);
        match trouble {
            Trouble::Kill => self.kill_server(),
            Trouble::Reboot => {
                self.kill_server();
                self.machine.reboot();
                self.boot += 1;
                self.records.get_mut().boot = BootId(Uuid::from_u128(self.boot));
            }
            Trouble::KillMonitor => {
                let effect = self.machine.kill_one(&mut self.random, self.now);
                self.follow(effect);
            }
            Trouble::FullDisk => self.records.get_mut().full_until = until,
            Trouble::Unreadable => self.records.get_mut().unreadable_until = until,
            Trouble::SilentRegistry => self.registry.silent_until = until,
            Trouble::MissedChanges => {
                let _ = self.records.get_mut().take_changes();
                if let Some(server) = &mut self.server {
                    server.missed = true;
                }
            }
            Trouble::Stranger => {
                let execution = uid(self.random.below(6).into());
                let [task, attempt] = [9, 1].map(|end| self.random.below(end));
                let id = AttemptId {
                    execution,
                    task: 8 + u32::try_from(task).unwrap_or(0),
                    attempt: u32::try_from(attempt).unwrap_or(0),
                };
                let ending = Ending::Lost { why: "made up".to_owned() };
                self.deliver(News::Attempt {
                    id,
                    seen: Observation::Ended { at: self.now, ending },
                });
            }
        }
    }

    fn kill_server(&mut self) {
        if self.server.take().is_some() {
            self.report.crashes += 1;
            self.life += 1;
            self.registry.restart();
            let later = self.now + self.random.millis(10_000);
            self.at(later, Event::Restart);
        }
    }

    fn start_server(&mut self) {
        let config = BrainConfig {
            budget: self.records.get().budget,
            boot: BootId(Uuid::from_u128(self.boot)),
            resync: std::time::Duration::from_secs(30),
            retained_per_job: RETAINED,
        };
        let brain = Brain::new(self.records.clone(), config, self.now);
        {
            let mut records = self.records.get_mut();
            records.wish_read.clear();
            records.barred.clear();
            records.stuck = false;
            let _ = records.take_changes();
        }
        self.server = Some(Server { brain, news: Vec::new(), tick_at: self.now, missed: false });
        self.follow(self.machine.leftovers());
    }

    /// News came or records changed: the server ticks soon.
    fn wake_server(&mut self) {
        let soon = self.now + self.random.millis(20);
        let changes = self.records.get().has_changes();
        if let Some(server) = &mut self.server
            && (changes || server.missed || !server.news.is_empty())
        {
            server.tick_at = server.tick_at.min(soon);
        }
    }

    fn deliver(&mut self, news: News) {
        if let News::Attempt { id, seen: Observation::Ended { at, .. } } = &news
            && self.goes_wrong(self.odds.contradicted)
        {
            let ending = Ending::Lost { why: "on second thoughts".to_owned() };
            let seen = match self.random.below(2) {
                0 => Observation::Started { at: *at },
                _ => Observation::Ended { at: *at, ending },
            };
            let later = self.now + self.random.millis(5000);
            let news = News::Attempt { id: *id, seen };
            self.at(later, Event::News { life: self.life, news });
        }
        if let Some(server) = &mut self.server {
            server.news.push(news);
        }
    }

    fn answer(&mut self, request: &ImageRequest) {
        if let Some(news) = self.registry.answer(request, &mut self.random, self.now) {
            self.send(&news);
        }
    }
}

/// The server's tick.
impl World {
    fn tick(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        self.report.ticks += 1;
        let changes = match std::mem::take(&mut server.missed) {
            true => Changes::Missed,
            false => self.records.get_mut().take_changes(),
        };
        let taken = server.news.len().min(256);
        let news = server.news.drain(..taken).collect();
        for request in server.brain.think(Events { news, changes }, self.now) {
            self.ask(request);
        }
        let now = self.now;
        {
            let mut records = self.records.get_mut();
            // What is stuck was decided earlier, and what it begins is stopped right after.
            if !records.stuck {
                records.barred = records.wish_read.clone();
            }
        }
        let killed = self.goes_wrong(self.odds.killed_in_tick);
        if killed && self.random.per_mille(300) {
            self.server = Some(server);
            return self.kill_server();
        }
        if now < self.records.get().full_until {
            self.report.failed_commits += 1;
        }
        let tick = server.brain.write(now);
        server.tick_at = tick.wake_at.max(now);
        self.server = Some(server);
        self.act(tick, killed);
    }

    fn act(&mut self, tick: Tick, killed: bool) {
        let all = tick.actions.len() + tick.images.len();
        let kept = if killed { self.random.below(all as u64 + 1) } else { all as u64 };
        let mut left = kept;
        for action in tick.actions {
            if left == 0 {
                return self.kill_server();
            }
            left -= 1;
            self.apply(&action);
        }
        for request in tick.images {
            if left == 0 {
                return self.kill_server();
            }
            left -= 1;
            self.ask(request);
        }
        if killed {
            return self.kill_server();
        }
        self.wake_server();
    }

    fn apply(&mut self, action: &Action) {
        self.tell_trace(action);
        if let Action::Start(spec) = action {
            let fault = self.unlawful_start(spec.id);
            self.machine.faults.extend(fault);
            self.report.starts += u64::from(!self.machine.born.contains(&spec.id));
        }
        let effects = self.machine.apply(action, &mut self.random, self.now);
        self.follow(effects);
    }

    /// A start must be on disk as intended, not over, and nobody may wish otherwise.
    fn unlawful_start(&self, id: AttemptId) -> Option<String> {
        let records = self.records.get();
        if records.barred.contains(&id.execution) {
            return Some(format!("{id} is started after its execution was to stop"));
        }
        match records.attempts.get(&id) {
            None => Some(format!("{id} is started without having been intended")),
            Some(attempt) if attempt.ended.is_some() => {
                Some(format!("{id} is started after its end was written"))
            }
            Some(_) => None,
        }
    }

    fn ask(&mut self, request: ImageRequest) {
        self.tell_trace(&request);
        self.registry.ask(&request);
        match request {
            ImageRequest::Release(_) => self.answer(&request),
            request => {
                let later = self.now + self.random.millis(3000);
                self.at(later, Event::Image { life: self.life, request });
            }
        }
    }
}

/// What follows, and when.
impl World {
    fn follow(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(id, seen) => self.send(&News::Attempt { id, seen }),
                Effect::Runs(id) => {
                    let later = self.now + self.random.millis(20_000);
                    self.at(later, Event::Ends(id));
                }
                Effect::Stops(id) => {
                    let later = self.now + self.random.millis(10_000);
                    self.at(later, Event::Ends(id));
                }
            }
        }
    }

    /// On its way to the server, if there is one.
    fn send(&mut self, news: &News) {
        if self.server.is_none() || self.goes_wrong(self.odds.lost) {
            return;
        }
        let times = 1 + usize::from(self.goes_wrong(self.odds.repeated));
        for _ in 0..times {
            let delay = if self.goes_wrong(self.odds.late) { 60_000 } else { 200 };
            let later = self.now + self.random.millis(delay);
            self.at(later, Event::News { life: self.life, news: news.clone() });
        }
    }

    fn goes_wrong(&mut self, per_mille: u64) -> bool {
        !self.trouble_is_over() && self.random.per_mille(per_mille)
    }

    fn some_time(&mut self, event: Event) {
        let trouble = u64::try_from(TROUBLE_SECONDS * 1000).unwrap_or(0);
        let at = Timestamp::UNIX_EPOCH + self.random.millis(trouble);
        self.at(at, event);
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.made += 1;
        self.queue.insert((at, self.made), event);
    }

    #[expect(clippy::print_stderr, reason = "a trace is asked for by a person at a terminal")]
    fn tell_trace(&self, what: &impl std::fmt::Debug) {
        if self.trace == Trace::On {
            eprintln!("{:>8} {what:?}", self.now.as_millisecond());
        }
    }
}

fn uid(number: u128) -> ExecutionUid {
    ExecutionUid(Uuid::from_u128(number))
}
