//! What a program prints is in its log.

use groundrun_shim::{
    dir,
    log::{Reader, Source},
    protocol::{Exit, UnixNanos},
};

use crate::{
    Test,
    lab::{Lab, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("every_line_is_there_once_and_in_order", every_line_is_there_once_and_in_order),
    ("streams_are_told_apart", streams_are_told_apart),
    ("a_log_can_be_followed", a_log_can_be_followed),
    (
        "output_beyond_the_bound_is_counted_and_holds_nothing_up",
        output_beyond_the_bound_is_counted_and_holds_nothing_up,
    ),
    ("lines_carry_times_within_the_run", lines_carry_times_within_the_run),
    ("the_output_can_be_opened_anew_by_any_user", the_output_can_be_opened_anew_by_any_user),
];

fn every_line_is_there_once_and_in_order(lab: &Lab) {
    let text = lab.output(&lab.launch(&["spew", "20000", "50"]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 20_000);
    let padding = "x".repeat(50);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("{number} {padding}"));
    }
}

fn streams_are_told_apart(lab: &Lab) {
    let outcome = lab.run(&lab.launch(&["stderr", "oh no"]));
    assert_eq!(outcome.text(Source::Stderr), "oh no\n");
    assert_eq!(outcome.text(Source::Stdout), "");
}

fn a_log_can_be_followed(lab: &Lab) {
    let attempt = lab.start(&lab.launch(&["wait-term", "0"]));
    let path = attempt.directory.join(dir::LOG);
    attempt.says("waiting");
    let mut reader = Reader::open(&path, 0).expect("the log is there");
    let mut next = || reader.next_line().expect("the log is whole").map(|line| line.text);
    assert_eq!(next(), Some(b"waiting".to_vec()));
    assert_eq!(next(), None);
    let grace = std::time::Duration::from_secs(20);
    attempt
        .connection()
        .send(groundrun_shim::protocol::Wish::Stop { grace })
        .expect("the shim hears");
    let mut line = None;
    until("the next line", || {
        line = next();
        line.is_some()
    });
    assert_eq!(line, Some(b"told to stop".to_vec()));
    // From where the first line ended, as another reader that remembers it.
    let mut first = Reader::open(&path, 0).expect("the log is there");
    first.next_line().expect("the log is whole");
    let mut other = Reader::open(&path, first.offset()).expect("the log is there");
    let line = other.next_line().expect("the log is whole").map(|line| line.text);
    assert_eq!(line, Some(b"told to stop".to_vec()));
    attempt.outcome();
}

fn output_beyond_the_bound_is_counted_and_holds_nothing_up(lab: &Lab) {
    let mut launch = lab.launch(&["spew", "10000", "100"]);
    launch.log.total_bytes = 50_000;
    let outcome = lab.run(&launch);
    assert_eq!(outcome.exit().0, Exit::Code(0));
    let kept = outcome.text(Source::Stdout).len();
    let written: usize = (0..10_000).map(|number| format!("{number} \n").len() + 100).sum();
    let note = outcome.text(Source::Note);
    let dropped = written - kept;
    assert_eq!(
        note,
        format!(
            "… {dropped} bytes of output dropped: the log of an attempt holds at most 50000 bytes\n"
        )
    );
    let size =
        std::fs::metadata(launch.attempt_dir.join(dir::LOG)).expect("the log is there").len();
    assert!(size < 50_200, "{size}");
}

fn lines_carry_times_within_the_run(lab: &Lab) {
    let outcome = lab.run(&lab.launch(&["spew", "3", "1"]));
    let span = outcome.record.started.expect("it ran").0 - 1_000_000_000
        ..=outcome.record.ended.0 + 1_000_000_000;
    assert_eq!(outcome.lines.len(), 3);
    for line in &outcome.lines {
        let UnixNanos(at) = line.at;
        assert!(span.contains(&at), "{at} in {span:?}");
    }
}

fn the_output_can_be_opened_anew_by_any_user(lab: &Lab) {
    let mut launch = lab.launch(&["leave", "/dev/stdout", "by name"]);
    launch.containers[0].process.user = "app".into();
    assert_eq!(lab.output(&launch), "by name\n");
}
