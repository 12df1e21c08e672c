//! The loop of a world: what happens next, happens.

use std::collections::BTreeMap;

use groundrun_core::{
    allot::Urgency,
    id::{AttemptId, BootId, ExecutionUid},
    port::{ImageRequest, Limits, News},
    progress::Run,
    record::ReadinessState,
};
use groundrun_engine::brain::Brain;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Fault, Report,
    backend::Machine,
    clients::{self, Letter},
    random::Random,
    records::{Memory, Records},
    registry::Registry,
};
use crate::sample::Shape;

/// For this long clients do things and things go wrong.
pub(super) const TROUBLE_SECONDS: i64 = 120;

/// So long after the trouble everything must be over. The longest way: 9 waits for a registry that came back, tasks one
/// after the other with all their retries and back-offs, news lost to the end and asked for again.
pub(super) const PATIENCE_SECONDS: i64 = 3600;

/// Completed executions that are kept.
pub(super) const RETAINED: u32 = 2;

/// Things that happen in one world at most: many times what any needs, so that a brain that never rests is found out.
pub(super) const EVENTS_MAX: u64 = 20_000;

pub(super) const MEMORY: u64 = 4 << 30;

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
pub(super) enum Event {
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
    /// A client sends the job.
    Replace(Letter),
    NewGeneration,
    Trouble(Trouble),
    Restart,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
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
pub(super) struct Odds {
    pub(super) killed_in_tick: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) late: u64,
    pub(super) contradicted: u64,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) odds: Odds,
    pub(super) now: Timestamp,
    pub(super) queue: BTreeMap<(Timestamp, u64), Event>,
    pub(super) made: u64,
    pub(super) records: Memory,
    pub(super) machine: Machine,
    pub(super) registry: Registry,
    pub(super) executions: u128,
    pub(super) boot: u128,
    /// Counts the lives of the server.
    pub(super) life: u64,
    pub(super) server: Option<Server>,
    pub(super) report: Report,
    pub(super) trace: Trace,
}

pub(super) struct Server {
    pub(super) brain: Brain<Memory>,
    pub(super) news: Vec<News>,
    pub(super) tick_at: Timestamp,
    pub(super) missed: bool,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
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
    pub(super) fn populate(&mut self) {
        let job = clients::job(self.now).expect("the sample is a good document");
        self.records.get_mut().put_job(job);
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
        for _ in 0..self.random.below(4) {
            let letter = self.letter();
            self.some_time(Event::Replace(letter));
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

    pub(super) fn shape(&mut self) -> Shape {
        let memory = ["512Mi", "512Mi", "1Gi", "3Gi", "5Gi"];
        let mut number = |end: u64| i32::try_from(self.random.below(end)).unwrap_or(0);
        let (tasks, parallelism, max_retries) = (1 + number(8), number(4), number(4));
        let memory = memory[usize::try_from(number(5)).unwrap_or(0)].to_owned();
        let urgency = if self.random.per_mille(250) { Urgency::Delayed } else { Urgency::Regular };
        Shape { tasks, parallelism, max_retries, memory, cpu: "1".to_owned(), urgency }
    }

    /// Until everything is over.
    pub(super) fn live(&mut self) -> Result<(), String> {
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
        self.records.get_mut().check_job();
        self.faults()?;
        self.in_order()
    }

    pub(super) fn trouble_is_over(&self) -> bool {
        self.now.as_second() > TROUBLE_SECONDS
    }

    pub(super) fn is_over(&self) -> bool {
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

    pub(super) fn faults(&mut self) -> Result<(), String> {
        let of_records = std::mem::take(&mut self.records.get_mut().faults);
        let of_machine = std::mem::take(&mut self.machine.faults);
        match of_records.into_iter().chain(of_machine).next() {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// What must hold when all is over.
    pub(super) fn in_order(&self) -> Result<(), String> {
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

    pub(super) fn open_ends(&self) -> String {
        let records = self.records.get();
        let running: Vec<AttemptId> = self.machine.running().collect();
        let runs = self.server.iter().flat_map(|server| server.brain.runs());
        let runs: Vec<ExecutionUid> = runs.map(Run::uid).collect();
        let states: Vec<_> = records.executions.values().map(|each| &each.state).collect();
        let jobs: Vec<_> = records.jobs.values().map(|job| &job.readiness).collect();
        format!("{running:?} run on the machine; in memory {runs:?}; {jobs:?}; {states:?}")
    }
}

pub(super) fn uid(number: u128) -> ExecutionUid {
    ExecutionUid(Uuid::from_u128(number))
}
