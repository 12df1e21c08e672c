//! An attempt runs at most once, whoever launches it how often.

use groundrun_shim::{
    dir::{self, Standing},
    protocol::{Cause, Exit, News, Wish},
};

use crate::{
    Test,
    lab::{Lab, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_running_attempt_is_not_begun_again", a_running_attempt_is_not_begun_again),
    ("an_ended_attempt_is_not_begun_again", an_ended_attempt_is_not_begun_again),
    ("of_many_launches_one_begins", of_many_launches_one_begins),
    ("a_vanished_attempt_is_not_begun_again", a_vanished_attempt_is_not_begun_again),
    ("what_begins_is_never_seen_as_vanished", what_begins_is_never_seen_as_vanished),
    (
        "a_begin_that_failed_half_way_can_be_made_again",
        a_begin_that_failed_half_way_can_be_made_again,
    ),
    ("a_directory_says_how_its_attempt_stands", a_directory_says_how_its_attempt_stands),
];

fn a_running_attempt_is_not_begun_again(lab: &Lab) {
    let launch = lab.launch(&["sleep", "60"]);
    let first = lab.start(&launch);
    first.started();
    assert_eq!(lab.start(&launch).next(), Some(News::AlreadyBegun));
    first
        .connection()
        .send(Wish::Stop { grace: std::time::Duration::ZERO })
        .expect("the shim hears");
    first.outcome();
}

fn an_ended_attempt_is_not_begun_again(lab: &Lab) {
    let launch = lab.launch(&["true"]);
    let record = lab.run(&launch).record;
    assert_eq!(lab.start(&launch).next(), Some(News::AlreadyBegun));
    until("the second shim has gone", || {
        dir::standing(&launch.attempt_dir).ok() == Some(Standing::Ended(record.clone()))
    });
}

fn of_many_launches_one_begins(lab: &Lab) {
    let launch = lab.launch(&["spew", "1", "1"]);
    let attempts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| lab.start(&launch))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a launch works")).collect()
    });
    let news: Vec<_> = attempts.iter().map(|attempt| attempt.next()).collect();
    let begun = news.iter().filter(|news| matches!(news, Some(News::Started { .. }))).count();
    let refused = news.iter().filter(|news| **news == Some(News::AlreadyBegun)).count();
    assert_eq!((begun, refused), (1, 7), "{news:?}");
    until("its end", || matches!(dir::standing(&launch.attempt_dir), Ok(Standing::Ended(_))));
    assert_eq!(attempts[0].lines().len(), 1, "it ran once");
}

fn a_vanished_attempt_is_not_begun_again(lab: &Lab) {
    let launch = lab.launch(&["sleep", "60"]);
    let attempt = lab.start(&launch);
    attempt.started();
    rustix::process::kill_process(attempt.shim(), rustix::process::Signal::KILL).expect("it lives");
    assert_eq!(attempt.next(), None, "a dead shim says nothing more");
    until("it is seen to have vanished", || {
        dir::standing(&launch.attempt_dir).ok() == Some(Standing::Vanished)
    });
    assert_eq!(lab.start(&launch).next(), Some(News::AlreadyBegun));
    lab.sweep(&launch);
}

/// Whoever looks in the middle of a beginning must not call the attempt lost.
fn what_begins_is_never_seen_as_vanished(lab: &Lab) {
    for _ in 0..300 {
        let launch = lab.launch(&["true"]);
        let attempt = lab.start_unheard(&launch);
        let end = loop {
            match dir::standing(&launch.attempt_dir).expect("the directory can be read") {
                Standing::NotBegun | Standing::Running => {}
                other => break other,
            }
        };
        assert!(matches!(end, Standing::Ended(_)), "{end:?}");
        drop(attempt);
    }
}

/// A shim that died before its attempt was begun leaves its socket.
fn a_begin_that_failed_half_way_can_be_made_again(lab: &Lab) {
    let launch = lab.launch(&["true"]);
    std::os::unix::net::UnixListener::bind(launch.attempt_dir.join(dir::CONTROL))
        .expect("a socket can be made");
    assert_eq!(lab.run(&launch).exit(), (Exit::Code(0), Cause::OnItsOwn));
}

fn a_directory_says_how_its_attempt_stands(lab: &Lab) {
    let launch = lab.launch(&["wait-term", "0"]);
    let standing = || dir::standing(&launch.attempt_dir).expect("the directory can be read");
    assert_eq!(standing(), Standing::NotBegun);
    let attempt = lab.start(&launch);
    attempt.says("waiting");
    assert_eq!(standing(), Standing::Running);
    attempt
        .connection()
        .send(Wish::Stop { grace: std::time::Duration::from_secs(20) })
        .expect("the shim hears");
    let record = attempt.outcome().record;
    assert_eq!(standing(), Standing::Ended(record));
}
