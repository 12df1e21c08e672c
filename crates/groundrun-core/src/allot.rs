//! Who may begin how much, of what the machine gives to tasks.
//!
//! Executions take turns, one attempt at a time; inside an execution tasks go in their order. Memory and CPU of what
//! runs never exceed the budget (CPU with the overcommit that is already in it). Delayed executions have what is left when
//! all others have what they want.

use std::fmt;

use crate::{id::ExecutionUid, mutant, port::Limits};

/// Attempts granted at once. A start is a row and a message to the backend, together some 20 µs: a tick stays below
/// 10 ms, and who comes next is not kept waiting by who has 10,000 tasks.
pub const GRANTS_MAX: u32 = 256;

/// How often others may begin while one waits for more room than is free. After that the room that comes free is kept for
/// it: a large task among many small ones would else never begin.
pub const OVERTAKEN_MAX: u32 = 64;

/// Who comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// As soon as possible.
    #[default]
    Regular,
    /// When no regular one waits (`delayExecution`).
    Delayed,
}

/// What an execution has and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who.
    pub execution: ExecutionUid,
    /// Before whom.
    pub urgency: Urgency,
    /// What one task occupies.
    pub task: Limits,
    /// How many attempts occupy that.
    pub live: u32,
    /// How many more could begin.
    pub wants: u32,
}

/// The answer to a demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// This many may begin; 0 where none was wanted or others come first.
    Start(u32),
    /// None may begin: what is missing, in words.
    Wait(String),
    /// A task is larger than all there is: in words.
    Never(String),
}

/// Whose turn it is. Kept between allotments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    regular: Queue,
    delayed: Queue,
    /// Whether somebody is left who could begin more.
    rest: Rest,
}

/// The turn among those of one urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Queue {
    /// Who was granted last.
    last: Option<ExecutionUid>,
    /// Who has waited longest for room that is not there, and how often others began meanwhile.
    overtaken: Option<(ExecutionUid, u32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    Nobody,
    Somebody,
}

impl Turn {
    /// Was more wanted than is granted at once? Then allot again soon.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.rest == Rest::Somebody
    }
}

/// Answers all demands, in their order: that is the order of turns.
#[must_use]
pub fn allot(budget: Limits, demands: &[Demand], turn: &mut Turn) -> Vec<Grant> {
    let used = demands.iter().fold(Limits::default(), |sum, demand| Limits {
        cpu_millis: sum.cpu_millis + u64::from(demand.live) * demand.task.cpu_millis,
        memory_bytes: sum.memory_bytes + u64::from(demand.live) * demand.task.memory_bytes,
    });
    let mut free = Limits {
        cpu_millis: budget.cpu_millis.saturating_sub(used.cpu_millis),
        memory_bytes: budget.memory_bytes.saturating_sub(used.memory_bytes),
    };
    let mut room = Room { budget, free: &mut free, started: vec![0; demands.len()], granted: 0 };
    turn.rest = Rest::Nobody;
    let Turn { regular, delayed, rest } = turn;
    let mut served = room.begin_in_turn(demands, Urgency::Regular, regular, rest);
    if served == Served::All || mutant!("delayed_does_not_wait") {
        served = room.begin_in_turn(demands, Urgency::Delayed, delayed, rest);
    }
    let started = room.started;
    demands
        .iter()
        .zip(started)
        .map(|(demand, started)| match (started, demand.wants) {
            // Said before anything is wanted: nobody should wait for the images of what never begins.
            (0, _) if too_large(demand.task, budget) => Grant::Never(never(demand.task, budget)),
            (0, 1..) => match Missing::of(demand.task, free) {
                Some(missing) => Grant::Wait(missing.in_words(demand.task, free, budget)),
                None if demand.urgency == Urgency::Delayed && served == Served::Some => {
                    Grant::Wait("executions that are not delayed".to_owned())
                }
                None => Grant::Start(0),
            },
            (started, _) => Grant::Start(started),
        })
        .collect()
}

/// Whether all had what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    All,
    Some,
}

/// What an allotment has to give and has given.
struct Room<'a> {
    budget: Limits,
    free: &'a mut Limits,
    /// How many of each demand begin.
    started: Vec<u32>,
    granted: u32,
}

impl Room<'_> {
    fn begin_in_turn(
        &mut self,
        demands: &[Demand],
        urgency: Urgency,
        queue: &mut Queue,
        rest: &mut Rest,
    ) -> Served {
        let mut ring = demands_in_turn(self.budget, demands, urgency, queue.last);
        let waits = |uid| ring.iter().any(|&index: &usize| demands[index].execution == uid);
        queue.overtaken = queue.overtaken.filter(|(uid, _)| waits(*uid));
        let mut served = Served::All;
        while let Some(index) = ring.pop_front() {
            let demand = &demands[index];
            let first = queue.overtaken.is_none_or(|(uid, _)| uid == demand.execution);
            if !first && queue.overtaken.is_some_and(|(_, times)| times >= OVERTAKEN_MAX) {
                served = Served::Some;
                continue;
            }
            if self.granted == GRANTS_MAX {
                *rest = Rest::Somebody;
                return Served::Some;
            }
            if Missing::of(demand.task, *self.free).is_some() && !mutant!("budget_ignored") {
                queue.overtaken.get_or_insert((demand.execution, 0));
                served = Served::Some;
                continue;
            }
            self.take(demand.task);
            self.started[index] += 1;
            queue.last = Some(demand.execution);
            match &mut queue.overtaken {
                Some((uid, _)) if *uid == demand.execution => queue.overtaken = None,
                Some((_, times)) => *times += 1,
                None => {}
            }
            if self.started[index] < demand.wants {
                ring.push_back(index);
            }
        }
        served
    }

    fn take(&mut self, task: Limits) {
        self.free.cpu_millis = self.free.cpu_millis.saturating_sub(task.cpu_millis);
        self.free.memory_bytes = self.free.memory_bytes.saturating_sub(task.memory_bytes);
        self.granted += 1;
    }
}

/// Those of this urgency who want something that can ever be, beginning after who was granted last.
fn demands_in_turn(
    budget: Limits,
    demands: &[Demand],
    urgency: Urgency,
    last: Option<ExecutionUid>,
) -> std::collections::VecDeque<usize> {
    let after = demands.iter().position(|demand| Some(demand.execution) == last);
    let first = after.map_or(0, |index| index + 1);
    let wants = |demand: &Demand| demand.urgency == urgency && demand.wants > 0;
    (first..demands.len())
        .chain(0..first)
        .filter(|&index| wants(&demands[index]) && !too_large(demands[index].task, budget))
        .collect()
}

fn too_large(task: Limits, budget: Limits) -> bool {
    Missing::of(task, budget).is_some() && !mutant!("too_large_waits")
}

/// The resource of which there is too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Memory,
    Cpu,
}

impl Missing {
    fn of(task: Limits, free: Limits) -> Option<Self> {
        match () {
            () if task.memory_bytes > free.memory_bytes => Some(Self::Memory),
            () if task.cpu_millis > free.cpu_millis => Some(Self::Cpu),
            () => None,
        }
    }

    fn in_words(self, task: Limits, free: Limits, budget: Limits) -> String {
        match self {
            Self::Memory => format!(
                "memory: a task needs {}, {} of {} are free",
                Memory(task.memory_bytes),
                Memory(free.memory_bytes),
                Memory(budget.memory_bytes)
            ),
            Self::Cpu => format!(
                "cpu: a task needs {}, {} of {} are free",
                Cpus(task.cpu_millis),
                Cpus(free.cpu_millis),
                Cpus(budget.cpu_millis)
            ),
        }
    }
}

fn never(task: Limits, budget: Limits) -> String {
    match Missing::of(task, budget) {
        Some(Missing::Memory) => format!(
            "A task needs {} of memory, more than the {} that this machine gives to all tasks. \
             Lower its memory limit, or raise the server's setting memory_share.",
            Memory(task.memory_bytes),
            Memory(budget.memory_bytes)
        ),
        _ => format!(
            "A task needs {} CPUs, more than the {} that this machine gives to all tasks. \
             Lower its cpu limit, or raise the server's setting cpu_overcommit.",
            Cpus(task.cpu_millis),
            Cpus(budget.cpu_millis)
        ),
    }
}

/// Bytes for a person: `512 MiB`, `1.5 GiB`.
struct Memory(u64);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 >> 20;
        if mebibytes < 1024 {
            return write!(f, "{mebibytes} MiB");
        }
        write!(f, "{} GiB", Hundredths(mebibytes * 100 / 1024))
    }
}

/// Thousandths of a CPU for a person: `0.5`, `2`.
struct Cpus(u64);

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hundredths(self.0 / 10).fmt(f)
    }
}

/// A number with at most two decimals.
struct Hundredths(u64);

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 100, self.0 % 100);
        match (fraction, fraction % 10) {
            (0, _) => write!(f, "{whole}"),
            (_, 0) => write!(f, "{whole}.{}", fraction / 10),
            _ => write!(f, "{whole}.{fraction:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const GIB: u64 = 1 << 30;
    const BUDGET: Limits = Limits { cpu_millis: 8000, memory_bytes: 8 * GIB };

    fn demand(who: u128, gib: u64, live: u32, wants: u32) -> Demand {
        let task = Limits { cpu_millis: 1000, memory_bytes: gib * GIB };
        let execution = ExecutionUid(Uuid::from_u128(who));
        Demand { execution, urgency: Urgency::Regular, task, live, wants }
    }

    fn delayed(demand: Demand) -> Demand {
        Demand { urgency: Urgency::Delayed, ..demand }
    }

    fn grants(demands: &[Demand]) -> Vec<Grant> {
        allot(BUDGET, demands, &mut Turn::default())
    }

    #[test]
    fn room_is_shared_in_turns() {
        let granted = grants(&[demand(1, 1, 2, 10_000), demand(2, 1, 0, 10_000)]);
        assert_eq!(granted, [Grant::Start(3), Grant::Start(3)]);
    }

    #[test]
    fn the_turn_goes_on_where_it_stopped() {
        let (mut turn, mut begun) = (Turn::default(), [0, 0, 0]);
        for _ in 0..6 {
            let demands = [demand(1, 1, 3, 9), demand(2, 1, 2, 9), demand(3, 1, 2, 9)];
            for (sum, grant) in begun.iter_mut().zip(allot(BUDGET, &demands, &mut turn)) {
                if let Grant::Start(n) = grant {
                    *sum += n;
                }
            }
        }
        assert_eq!(begun, [2, 2, 2]);
    }

    #[test]
    fn what_waits_says_for_what() {
        let granted = grants(&[demand(1, 1, 7, 0), demand(2, 2, 0, 1)]);
        let why = "memory: a task needs 2 GiB, 1 GiB of 8 GiB are free".to_owned();
        assert_eq!(granted, [Grant::Start(0), Grant::Wait(why)]);
    }

    #[test]
    fn a_task_larger_than_everything_never_begins() {
        let why = "A task needs 9 GiB of memory, more than the 8 GiB that this machine gives to all tasks. \
                   Lower its memory limit, or raise the server's setting memory_share.";
        assert_eq!(grants(&[demand(1, 9, 0, 1)]), [Grant::Never(why.to_owned())]);
    }

    #[test]
    fn a_large_task_is_overtaken_only_so_often() {
        let (mut turn, mut begun) = (Turn::default(), 0);
        loop {
            // Small tasks come and go; there is always room for one more, and never for the large one.
            let grants = allot(BUDGET, &[demand(1, 8, 0, 1), demand(2, 1, 7, 1)], &mut turn);
            match grants[1] {
                Grant::Start(1) => begun += 1,
                _ => break,
            }
        }
        assert_eq!(begun, OVERTAKEN_MAX);
        let grants = allot(BUDGET, &[demand(1, 8, 0, 1), demand(2, 1, 0, 1)], &mut turn);
        assert_eq!(grants[0], Grant::Start(1), "the room came free and was kept");
    }

    #[test]
    fn delayed_ones_have_what_is_left_when_no_regular_one_waits() {
        let granted = grants(&[delayed(demand(1, 1, 0, 9)), demand(2, 1, 0, 5)]);
        assert_eq!(granted, [Grant::Start(3), Grant::Start(5)]);

        let granted = grants(&[delayed(demand(1, 1, 0, 9)), demand(2, 3, 0, 3)]);
        let why = "executions that are not delayed".to_owned();
        assert_eq!(granted, [Grant::Wait(why), Grant::Start(2)], "2 GiB are free, for the third");

        let granted = grants(&[delayed(demand(1, 1, 0, 9)), demand(2, 1, 3, 0)]);
        assert_eq!(granted, [Grant::Start(5), Grant::Start(0)], "what wants nothing keeps nobody");

        let granted = grants(&[delayed(demand(1, 1, 0, 9)), demand(2, 9, 0, 1)]);
        assert_eq!(granted[0], Grant::Start(8), "nor does what never begins");
    }

    #[test]
    fn delayed_ones_take_turns_among_themselves() {
        let granted = grants(&[delayed(demand(1, 1, 2, 9)), delayed(demand(2, 1, 0, 9))]);
        assert_eq!(granted, [Grant::Start(3), Grant::Start(3)]);
    }

    #[test]
    fn figures_are_for_people() {
        assert_eq!(Memory(1536 << 20).to_string(), "1.5 GiB");
        assert_eq!(Memory(512 << 20).to_string(), "512 MiB");
        assert_eq!(Cpus(80).to_string(), "0.08");
        assert_eq!(Cpus(2500).to_string(), "2.5");
    }
}
