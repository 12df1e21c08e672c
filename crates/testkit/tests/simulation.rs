//! Ten thousand worlds, and what they must have gone through to count.

#![cfg(feature = "sim")]

use std::sync::atomic::{AtomicU64, Ordering};

use testkit::sim::{self, Report, Trace};

const SEEDS: u64 = 10_000;

#[test]
fn every_world_ends_in_order() {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let live = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return sum;
            }
            match sim::run(seed, Trace::Off) {
                Ok(report) => sum += report,
                Err(fault) => panic!("{fault}"),
            }
        }
    };
    let mut sum = Report::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(live)).collect();
        for thread in threads {
            sum += thread.join().expect("no world is out of order");
        }
    });
    // A simulation in which nothing happens proves nothing.
    assert!(sum.starts > 10 * SEEDS, "{sum:?}");
    assert!(sum.crashes > SEEDS, "{sum:?}");
    assert!(sum.failed_commits > SEEDS / 2, "{sum:?}");
    assert!(sum.completed > SEEDS, "{sum:?}");
    assert!(sum.tokens > SEEDS / 2 && sum.conflicts > SEEDS / 20, "{sum:?}");
}

#[test]
fn a_seed_is_the_same_world_each_time() {
    for seed in 0..20 {
        assert_eq!(sim::run(seed, Trace::Off), sim::run(seed, Trace::Off));
    }
}
