//! Figures, by hand: `cargo test --release -p groundrun-store -- --ignored --nocapture measure`. None is asserted.

#![expect(clippy::print_stdout, reason = "figures for a person")]

use std::{fs, num::NonZeroU32, sync::Barrier, thread, time::Instant};

use groundrun_api::selector::Selector;
use groundrun_store::{ListQuery, Store};

use crate::support::*;

const EXECUTIONS: u128 = 100_000;

#[test]
#[ignore = "figures for a person"]
fn measure() {
    let (_dir, store) = open();
    fill(&store);
    lists(&store);
    attempts(&store);
    commits(&store);
    println!("{:?}", store.figures());
    println!("resident: {}", resident());
}

fn fill(store: &Store) {
    let begun = Instant::now();
    let of = keep_job(store, job("j", 1));
    for batch in 0..EXECUTIONS / 1000 {
        let of = of.clone();
        write(store, at(0), move |tx| {
            for number in batch * 1000..(batch + 1) * 1000 {
                let mut one = execution(&of, &format!("j-{number}"), 1000 + number);
                one.created = at(i64::try_from(number).expect("it is small"));
                let mut labels = Labels::from([
                    ("run.googleapis.com/job".to_owned(), "j".to_owned()),
                    ("run.googleapis.com/jobUid".to_owned(), of.uid.to_string()),
                    ("cloud.googleapis.com/location".to_owned(), "r".to_owned()),
                ]);
                if number % 1000 == 0 {
                    labels.insert("rare".to_owned(), "yes".to_owned());
                }
                tx.insert_execution(&mut one, &labels)?;
            }
            Ok(())
        });
    }
    println!("{EXECUTIONS} executions: {:?}", begun.elapsed());
}

fn lists(store: &Store) {
    let limit = NonZeroU32::new(100).expect("it is not zero");
    for selector in
        ["", "run.googleapis.com/job=j", "run.googleapis.com/job=j,rare", "rare", "rare=yes"]
    {
        let selector: Selector = selector.parse().expect("it parses");
        let mut after = None;
        // The first is with cold caches, the last deep in the list.
        for _ in 0..3 {
            let begun = Instant::now();
            let query =
                ListQuery { project: "p", region: Some("r"), selector: &selector, limit, after };
            let page = read(store, |view| view.executions(&query));
            println!("{} of {selector}: {:?}", page.items.len(), begun.elapsed());
            after = page.next;
        }
    }
}

fn attempts(store: &Store) {
    let uid = execution(&job("j", 1), "j-0", 1000).uid;
    let begun = Instant::now();
    write(store, at(1), move |tx| {
        let attempts: Vec<_> = (0..10_000).map(|task| attempt(uid, task, 0)).collect();
        tx.insert_attempts(&attempts)
    });
    println!("10,000 attempts written: {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut count = 0;
    read(store, |view| view.attempts(uid, 0..u32::MAX, |_| count += 1));
    println!("{count} attempts read: {:?}", begun.elapsed());
    let begun = Instant::now();
    read(store, |view| view.latest_attempts(uid, 0..u32::MAX, |_| count += 1));
    println!("latest of them read: {:?}", begun.elapsed());
}

fn commits(store: &Store) {
    for threads in [1, 1, 8, 64] {
        let before = store.figures();
        let begin = Barrier::new(threads);
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    begin.wait();
                    for _ in 0..500 {
                        let uid = execution(&job("j", 1), "j-0", 1000).uid;
                        write(store, at(0), move |tx| {
                            tx.set_execution_state(uid, &Default::default())
                        });
                    }
                });
            }
        });
        let took = begun.elapsed();
        let after = store.figures();
        let writes = after.writes - before.writes;
        println!(
            "{threads} writers: {writes} writes in {} commits, {took:?}, {:?} each",
            after.commits - before.commits,
            took / u32::try_from(writes).expect("it is small"),
        );
    }
}

fn resident() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("it is there");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it is there");
    line.to_owned()
}
