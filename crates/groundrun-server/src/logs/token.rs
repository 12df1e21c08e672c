//! Page tokens of log lists: the place of the last line that was looked at, so they never expire.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use groundrun_api::logging::Order;
use jiff::Timestamp;
use uuid::Uuid;

use super::merge::Position;
use crate::error::Refusal;

/// Version and order, then the position.
const LENGTH: usize = 2 + 16 + 16 + 4 + 4 + 8;
const VERSION: u8 = 1;

pub(super) fn write(position: Position, order: Order) -> String {
    let Position { at, execution, task, attempt, sequence } = position;
    let mut bytes = vec![VERSION, order_byte(order)];
    bytes.extend(at.as_nanosecond().to_be_bytes());
    bytes.extend(execution.as_bytes());
    bytes.extend(task.to_be_bytes());
    bytes.extend(attempt.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token is good for the order that it was made in.
pub(super) fn read(text: &str, order: Order) -> Result<Position, Refusal> {
    parse(text, order).ok_or_else(|| {
        let text = "page_token: not a token of an earlier page of this list.";
        Refusal::violation("page_token", text)
    })
}

fn parse(text: &str, order: Order) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let bytes: &[u8; LENGTH] = bytes.as_slice().try_into().ok()?;
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    if *head != [VERSION, order_byte(order)] {
        return None;
    }
    let (at, rest) = rest.split_first_chunk::<16>()?;
    let (execution, rest) = rest.split_first_chunk::<16>()?;
    let (task, rest) = rest.split_first_chunk::<4>()?;
    let (attempt, rest) = rest.split_first_chunk::<4>()?;
    let sequence = rest.first_chunk::<8>()?;
    Some(Position {
        at: Timestamp::from_nanosecond(i128::from_be_bytes(*at)).ok()?,
        execution: Uuid::from_bytes(*execution),
        task: u32::from_be_bytes(*task),
        attempt: u32::from_be_bytes(*attempt),
        sequence: u64::from_be_bytes(*sequence),
    })
}

fn order_byte(order: Order) -> u8 {
    match order {
        Order::OldestFirst => b'a',
        Order::NewestFirst => b'd',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_in_its_own_order_alone() {
        let position = Position {
            at: "2026-11-24T08:00:00.123456789Z".parse().expect("a time"),
            execution: Uuid::max(),
            task: 7,
            attempt: 1,
            sequence: u64::MAX,
        };
        let token = write(position, Order::NewestFirst);
        assert_eq!(read(&token, Order::NewestFirst), Ok(position));
        assert!(read(&token, Order::OldestFirst).is_err());
        for foreign in ["", "T2", &token[1..], "not base64!"] {
            assert!(read(foreign, Order::NewestFirst).is_err(), "{foreign:?}");
        }
    }
}
