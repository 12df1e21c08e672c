//! One attempt's log, line by line from either end, with no more than one batch in memory.
//!
//! Times never go back: a line is at least as late as the one before it, also where the machine's clock was set back.
//! So that both directions agree on that, both begin with the first line.

use std::{io, num::NonZeroUsize, sync::Arc};

use groundrun_api::logging::Order;
use groundrun_core::{
    id::AttemptId,
    log::{LogLine, LogPosition},
};
use jiff::Timestamp;

use super::seam::Logs;

/// Lines read at once: some 100 KiB of usual lines.
const BATCH: NonZeroUsize = NonZeroUsize::new(1000).expect("1000 is not zero");

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl Span {
    fn has(&self, line: &LogLine) -> bool {
        self.since <= line.at && line.at <= self.until
    }
}

/// Lines of one attempt.
pub(super) type Lines = Box<dyn Iterator<Item = io::Result<LogLine>> + Send>;

/// The lines of the span, in the order asked for.
pub(super) fn lines(
    logs: &Arc<dyn Logs>,
    attempt: AttemptId,
    span: Span,
    order: Order,
) -> io::Result<Lines> {
    let batches = Batches { logs: Arc::clone(logs), attempt };
    match order {
        Order::OldestFirst => Ok(forward(batches, span)),
        Order::NewestFirst => backward(batches, span),
    }
}

/// Where a batch begins, and the time of the line before it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    from: LogPosition,
    floor: Timestamp,
}

impl Mark {
    const START: Self = Self { from: LogPosition { offset: 0, line: 0 }, floor: Timestamp::MIN };
}

struct Batches {
    logs: Arc<dyn Logs>,
    attempt: AttemptId,
}

impl Batches {
    /// The batch at `mark`, and the mark after it; none at the end of the log.
    fn at(&self, mark: Mark) -> io::Result<Option<(Vec<LogLine>, Mark)>> {
        let (mut lines, from) = self.logs.read(self.attempt, mark.from, BATCH)?;
        let mut floor = mark.floor;
        for line in &mut lines {
            floor = floor.max(line.at);
            line.at = floor;
        }
        Ok((!lines.is_empty()).then_some((lines, Mark { from, floor })))
    }
}

fn forward(batches: Batches, span: Span) -> Lines {
    let mut next = Some(Mark::START);
    let batch = move || match batches.at(next?) {
        Ok(Some((lines, after))) => {
            next = (after.floor <= span.until).then_some(after);
            Some(Ok(lines))
        }
        Ok(None) => None,
        Err(error) => {
            next = None;
            Some(Err(error))
        }
    };
    Box::new(flat(std::iter::from_fn(batch), span))
}

/// The first pass keeps where the batches of the span begin, the second reads them from the last to the first.
fn backward(batches: Batches, span: Span) -> io::Result<Lines> {
    let mut marks = Vec::new();
    let mut mark = Mark::START;
    while mark.floor <= span.until
        && let Some((_, after)) = batches.at(mark)?
    {
        if after.floor >= span.since {
            marks.push(mark);
        }
        mark = after;
    }
    let batch = move |mark| {
        let read = batches.at(mark).map(|batch| batch.map(|(lines, _)| lines).unwrap_or_default());
        read.map(|mut lines| {
            lines.reverse();
            lines
        })
    };
    Ok(Box::new(flat(marks.into_iter().rev().map(batch), span)))
}

fn flat(
    batches: impl Iterator<Item = io::Result<Vec<LogLine>>>,
    span: Span,
) -> impl Iterator<Item = io::Result<LogLine>> {
    batches.flat_map(move |batch| {
        let (lines, error) = match batch {
            Ok(lines) => (lines, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        let wanted = lines.into_iter().filter(move |line| span.has(line)).map(Ok);
        wanted.chain(error)
    })
}

#[cfg(test)]
mod tests {
    use std::any::Any;

    use groundrun_core::id::ExecutionUid;
    use jiff::SignedDuration;
    use uuid::Uuid;

    use groundrun_core::log::Stream;

    use super::*;

    /// A log whose n-th line is of second `times[n]`.
    struct Memory(Vec<i64>);

    fn second(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    impl Logs for Memory {
        fn read(
            &self,
            _: AttemptId,
            from: LogPosition,
            most: NonZeroUsize,
        ) -> io::Result<(Vec<LogLine>, LogPosition)> {
            let lines: Vec<LogLine> = (from.line..)
                .zip(self.0.iter().skip(usize::try_from(from.line).expect("tests are small")))
                .take(most.get())
                .map(|(sequence, at)| LogLine {
                    at: second(*at),
                    stream: Stream::Stdout,
                    container: 0,
                    text: String::new(),
                    sequence,
                })
                .collect();
            let line = from.line + lines.len() as u64;
            Ok((lines, LogPosition { offset: line, line }))
        }

        fn listen(&self, _: AttemptId, _: crate::logs::Grown) -> io::Result<Box<dyn Any + Send>> {
            Ok(Box::new(()))
        }
    }

    fn sequences(times: Vec<i64>, (since, until): (i64, i64), order: Order) -> Vec<u64> {
        let logs: Arc<dyn Logs> = Arc::new(Memory(times));
        let attempt = AttemptId { execution: ExecutionUid(Uuid::nil()), task: 0, attempt: 0 };
        let span = Span { since: second(since), until: second(until) };
        let lines = lines(&logs, attempt, span, order).expect("memory can be read");
        lines.map(|line| line.expect("memory can be read").sequence).collect()
    }

    #[test]
    fn both_directions_give_the_same_lines() {
        let times: Vec<i64> = (0..3500).map(|n| n / 3).collect();
        for span in [(0, 5000), (0, 0), (400, 700), (1100, 9000), (5000, 6000), (-5, -1)] {
            let forward = sequences(times.clone(), span, Order::OldestFirst);
            let mut backward = sequences(times.clone(), span, Order::NewestFirst);
            backward.reverse();
            assert_eq!(forward, backward, "{span:?}");
            let wanted = times.iter().filter(|time| (span.0..=span.1).contains(*time)).count();
            assert_eq!(forward.len(), wanted, "{span:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_loses_no_line() {
        let times = vec![10, 11, 3, 4, 12];
        assert_eq!(sequences(times.clone(), (0, 99), Order::OldestFirst), [0, 1, 2, 3, 4]);
        assert_eq!(sequences(times.clone(), (11, 11), Order::OldestFirst), [1, 2, 3]);
        assert_eq!(sequences(times, (11, 11), Order::NewestFirst), [3, 2, 1]);
    }
}
