//! Who may begin how much, of what the machine gives to tasks.
//!
//! Executions take turns, one attempt at a time; inside an execution tasks go in their order. Memory and CPU of what
//! runs never exceed the budget (CPU with the overcommit that is already in it).

use std::fmt;

use crate::{id::ExecutionUid, mutant, port::Limits};

/// Attempts granted at once. A start is a row and a message to the backend, together some 20 µs: a tick stays below
/// 10 ms, and who comes next is not kept waiting by who has 10,000 tasks.
pub const GRANTS_MAX: u32 = 256;

/// How often others may begin while one waits for more room than is free. After that the room that comes free is kept for
/// it: a large task among many small ones would else never begin.
pub const OVERTAKEN_MAX: u32 = 64;

/// What an execution has and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who.
    pub execution: ExecutionUid,
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
    /// Who was granted last.
    last: Option<ExecutionUid>,
    /// Who has waited longest for room that is not there, and how often others began meanwhile.
    overtaken: Option<(ExecutionUid, u32)>,
    /// Whether somebody is left who could begin more.
    rest: Rest,
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
    let started = begin_in_turn(budget, demands, turn, &mut free);
    demands
        .iter()
        .zip(started)
        .map(|(demand, started)| match (started, demand.wants) {
            // Said before anything is wanted: nobody should wait for the images of what never begins.
            (0, _) if too_large(demand.task, budget) => Grant::Never(never(demand.task, budget)),
            (0, 1..) => match Missing::of(demand.task, free) {
                Some(missing) => Grant::Wait(missing.in_words(demand.task, free, budget)),
                None => Grant::Start(0),
            },
            (started, _) => Grant::Start(started),
        })
        .collect()
}

/// How many of each demand begin; takes them from `free`.
fn begin_in_turn(
    budget: Limits,
    demands: &[Demand],
    turn: &mut Turn,
    free: &mut Limits,
) -> Vec<u32> {
    let mut started = vec![0; demands.len()];
    let mut ring = demands_in_turn(budget, demands, turn.last);
    let waits = |uid| ring.iter().any(|&index: &usize| demands[index].execution == uid);
    turn.overtaken = turn.overtaken.filter(|(uid, _)| waits(*uid));
    let mut granted = 0;
    turn.rest = Rest::Nobody;
    while let Some(index) = ring.pop_front() {
        let demand = &demands[index];
        let first = turn.overtaken.is_none_or(|(uid, _)| uid == demand.execution);
        if !first && turn.overtaken.is_some_and(|(_, times)| times >= OVERTAKEN_MAX) {
            continue;
        }
        if granted == GRANTS_MAX {
            turn.rest = Rest::Somebody;
            break;
        }
        if Missing::of(demand.task, *free).is_some() && !mutant!("budget_ignored") {
            turn.overtaken.get_or_insert((demand.execution, 0));
            continue;
        }
        free.cpu_millis = free.cpu_millis.saturating_sub(demand.task.cpu_millis);
        free.memory_bytes = free.memory_bytes.saturating_sub(demand.task.memory_bytes);
        started[index] += 1;
        granted += 1;
        turn.last = Some(demand.execution);
        match &mut turn.overtaken {
            Some((uid, _)) if *uid == demand.execution => turn.overtaken = None,
            Some((_, times)) => *times += 1,
            None => {}
        }
        if started[index] < demand.wants {
            ring.push_back(index);
        }
    }
    started
}

/// Those who want something that can ever be, beginning after who was granted last.
fn demands_in_turn(
    budget: Limits,
    demands: &[Demand],
    last: Option<ExecutionUid>,
) -> std::collections::VecDeque<usize> {
    let after = demands.iter().position(|demand| Some(demand.execution) == last);
    let first = after.map_or(0, |index| index + 1);
    (first..demands.len())
        .chain(0..first)
        .filter(|&index| demands[index].wants > 0 && !too_large(demands[index].task, budget))
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
        Demand { execution: ExecutionUid(Uuid::from_u128(who)), task, live, wants }
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
    fn figures_are_for_people() {
        assert_eq!(Memory(1536 << 20).to_string(), "1.5 GiB");
        assert_eq!(Memory(512 << 20).to_string(), "512 MiB");
        assert_eq!(Cpus(80).to_string(), "0.08");
        assert_eq!(Cpus(2500).to_string(), "2.5");
    }
}
