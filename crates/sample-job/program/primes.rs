//! The example's work: each task counts the primes of its share.

use crate::{out::Out, start::World};

const LIMIT: u64 = 2_000_000;

pub fn main(world: &World) -> u8 {
    let index = world.number(b"CLOUD_RUN_TASK_INDEX").unwrap_or(0);
    let count = world.number(b"CLOUD_RUN_TASK_COUNT").unwrap_or(1).max(1);
    let attempt = world.number(b"CLOUD_RUN_TASK_ATTEMPT").unwrap_or(0);
    let limit = world.number(b"PRIMES_LIMIT").unwrap_or(LIMIT);
    if attempt == 0 && world.number(b"FAIL_FIRST_ATTEMPT_OF") == Some(index) {
        Out::stderr().text(b"failing the first attempt, as FAIL_FIRST_ATTEMPT_OF asks\n");
        return 1;
    }
    let (from, to) = (share(limit, index, count), share(limit, index + 1, count));
    let found = (from..to).filter(|&n| is_prime(n)).count() as u64;
    let mut out = Out::stdout();
    out.text(b"task ").number(index).text(b" of ").number(count).text(b": ");
    out.number(found).text(b" primes from ").number(from).text(b" to ").number(to).text(b"\n");
    0
}

/// Where the n-th of `count` shares begins.
fn share(limit: u64, n: u64, count: u64) -> u64 {
    (u128::from(limit) * u128::from(n) / u128::from(count)) as u64
}

fn is_prime(n: u64) -> bool {
    if n < 4 {
        return n > 1;
    }
    if n % 2 == 0 {
        return false;
    }
    let mut d = 3;
    while d * d <= n {
        if n % d == 0 {
            return false;
        }
        d += 2;
    }
    true
}
