//! Lines of many attempts in one order of time, reading no more logs than that needs.
//!
//! One heap holds lines and, for what is not read yet, bounds: nothing in a branch comes before its bound. The best
//! entry is taken; a branch is opened, a line is given and replaced by the next one of its log. So of an execution with
//! 10,000 tasks only those logs are open whose spans meet: as many as ran at once.

use std::{cmp::Ordering, collections::BinaryHeap};

use groundrun_api::logging::Order;
use groundrun_core::id::{AttemptId, ExecutionUid};
use jiff::Timestamp;
use uuid::Uuid;

/// The place of a line among all: also what a page token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) at: Timestamp,
    pub(crate) execution: Uuid,
    pub(crate) task: u32,
    pub(crate) attempt: u32,
    pub(crate) sequence: u64,
}

impl Position {
    /// Of a line.
    pub(crate) fn of(attempt: AttemptId, at: Timestamp, sequence: u64) -> Self {
        let AttemptId { execution: ExecutionUid(execution), task, attempt } = attempt;
        Self { at, execution, task, attempt, sequence }
    }

    /// No line at this time comes before it in this order.
    pub(crate) fn bound(at: Timestamp, order: Order) -> Self {
        match order {
            Order::OldestFirst => {
                Self { at, execution: Uuid::nil(), task: 0, attempt: 0, sequence: 0 }
            }
            Order::NewestFirst => Self {
                at,
                execution: Uuid::max(),
                task: u32::MAX,
                attempt: u32::MAX,
                sequence: u64::MAX,
            },
        }
    }

    /// Is it further on than `other`?
    pub(crate) fn is_after(&self, other: &Self, order: Order) -> bool {
        match order {
            Order::OldestFirst => self > other,
            Order::NewestFirst => self < other,
        }
    }
}

/// What the heap is fed with.
pub(crate) trait Tree {
    /// Something that holds lines: an execution, an attempt.
    type Branch;
    /// A line.
    type Line;
    /// Why a branch cannot be opened, or a log not be read.
    type Error;

    /// What is in a branch.
    fn open(&mut self, branch: Self::Branch) -> Result<Opened<Self>, Self::Error>;
}

/// Positioned lines of one log, in the merge's order.
pub(crate) type Log<L, E> = Box<dyn Iterator<Item = Result<(Position, L), E>> + Send>;

/// What is in a branch.
pub(crate) struct Opened<T: Tree + ?Sized> {
    /// Branches, with their bounds.
    pub(crate) branches: Vec<(Position, T::Branch)>,
    /// Logs.
    pub(crate) logs: Vec<Log<T::Line, T::Error>>,
}

/// The merged lines of a tree.
pub(crate) struct Merge<T: Tree> {
    tree: T,
    order: Order,
    heap: BinaryHeap<Entry<T>>,
}

struct Entry<T: Tree> {
    order: Order,
    position: Position,
    what: What<T>,
}

enum What<T: Tree> {
    Branch(T::Branch),
    Line(T::Line, Log<T::Line, T::Error>),
}

impl<T: Tree> Merge<T> {
    /// Begins with `roots`.
    pub(crate) fn new(tree: T, order: Order, roots: Vec<(Position, T::Branch)>) -> Self {
        let mut merge = Self { tree, order, heap: BinaryHeap::new() };
        merge.grow(roots);
        merge
    }

    fn grow(&mut self, branches: Vec<(Position, T::Branch)>) {
        let order = self.order;
        self.heap.extend(branches.into_iter().map(|(position, branch)| Entry {
            order,
            position,
            what: What::Branch(branch),
        }));
    }

    fn advance(&mut self, mut log: Log<T::Line, T::Error>) -> Result<(), T::Error> {
        if let Some((position, line)) = log.next().transpose()? {
            self.heap.push(Entry { order: self.order, position, what: What::Line(line, log) });
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<(Position, T::Line)>, T::Error> {
        while let Some(Entry { position, what, .. }) = self.heap.pop() {
            match what {
                What::Line(line, log) => {
                    self.advance(log)?;
                    return Ok(Some((position, line)));
                }
                What::Branch(branch) => {
                    let Opened { branches, logs } = self.tree.open(branch)?;
                    self.grow(branches);
                    logs.into_iter().try_for_each(|log| self.advance(log))?;
                }
            }
        }
        Ok(None)
    }
}

impl<T: Tree> Iterator for Merge<T> {
    type Item = Result<(Position, T::Line), T::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The greatest entry of the heap is the first in the order; a branch comes before a line at the same place.
impl<T: Tree> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_position = match self.order {
            Order::OldestFirst => other.position.cmp(&self.position),
            Order::NewestFirst => self.position.cmp(&other.position),
        };
        let is_branch = |entry: &Self| matches!(entry.what, What::Branch(_));
        by_position.then(is_branch(self).cmp(&is_branch(other)))
    }
}

impl<T: Tree> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Tree> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Tree> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible, rc::Rc};

    use jiff::SignedDuration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    /// `logs[task]` are the seconds of its lines; `open` counts logs that were opened.
    struct Tasks {
        logs: Vec<Vec<i64>>,
        order: Order,
        opened: Rc<Cell<usize>>,
    }

    impl Tree for Tasks {
        type Branch = Option<usize>;
        type Line = String;
        type Error = Infallible;

        fn open(&mut self, branch: Option<usize>) -> Result<Opened<Self>, Infallible> {
            let order = self.order;
            let Some(task) = branch else {
                let bound = |log: &Vec<i64>| match order {
                    Order::OldestFirst => log[0],
                    Order::NewestFirst => log[log.len() - 1],
                };
                let branches = self.logs.iter().enumerate();
                let branches = branches
                    .map(|(task, log)| (Position::bound(at(bound(log)), order), Some(task)))
                    .collect();
                return Ok(Opened { branches, logs: vec![] });
            };
            self.opened.set(self.opened.get() + 1);
            let id = AttemptId {
                execution: ExecutionUid(Uuid::nil()),
                task: u32::try_from(task).expect("tests are small"),
                attempt: 0,
            };
            let mut lines: Vec<_> = self.logs[task]
                .iter()
                .zip(0..)
                .map(|(second, sequence)| {
                    Ok((Position::of(id, at(*second), sequence), format!("{task}:{second}")))
                })
                .collect();
            if order == Order::NewestFirst {
                lines.reverse();
            }
            Ok(Opened { branches: vec![], logs: vec![Box::new(lines.into_iter())] })
        }
    }

    fn merge(logs: &[&[i64]], order: Order) -> (Merge<Tasks>, Rc<Cell<usize>>) {
        let opened = Rc::new(Cell::new(0));
        let logs = logs.iter().map(|log| log.to_vec()).collect();
        let tree = Tasks { logs, order, opened: Rc::clone(&opened) };
        let roots = vec![(Position::bound(at(0), order), None)];
        (Merge::new(tree, order, roots), opened)
    }

    fn texts(merge: Merge<Tasks>) -> Vec<String> {
        merge.map(|line| line.expect("the tree has no errors").1).collect()
    }

    #[test]
    fn lines_come_in_the_order_asked_for() {
        let logs: &[&[i64]] = &[&[1, 4, 4, 9], &[2, 4], &[10]];
        let forward = texts(merge(logs, Order::OldestFirst).0);
        assert_eq!(forward, ["0:1", "1:2", "0:4", "0:4", "1:4", "0:9", "2:10"]);
        let mut backward = texts(merge(logs, Order::NewestFirst).0);
        backward.reverse();
        assert_eq!(backward, forward);
    }

    #[test]
    fn logs_whose_time_has_not_come_are_not_opened() {
        let logs: Vec<[i64; 2]> = (0..1000).map(|task| [task * 10, task * 10 + 9]).collect();
        let logs: Vec<&[i64]> = logs.iter().map(<[i64; 2]>::as_slice).collect();
        let (merge, opened) = merge(&logs, Order::NewestFirst);
        let lines: Vec<_> = merge.take(4).collect();
        assert_eq!(lines.len(), 4);
        assert!(opened.get() <= 3, "{} logs were opened", opened.get());
    }
}
