//! What is written is what is read.

use std::{fs, io::Write, path::Path};

use super::{Line, LogError, Reader, Source, Stream, Writer};
use crate::protocol::{LogBounds, UnixNanos};

const STDOUT: Stream = Stream { container: 0, source: Source::Stdout };
const STDERR: Stream = Stream { container: 0, source: Source::Stderr };
const BOUNDS: LogBounds = LogBounds { line_bytes: 16, total_bytes: 1 << 20 };

/// Writes with `write` and reads all of it.
fn check(bounds: LogBounds, write: impl FnOnce(&mut Writer), want: &[(Source, i64, &str)]) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("log");
    let mut writer = Writer::new(path.clone(), bounds);
    write(&mut writer);
    assert_eq!(lines(&path), want.iter().map(line).collect::<Vec<_>>());
}

fn line((source, at, text): &(Source, i64, &str)) -> Line {
    Line { at: UnixNanos(*at), source: *source, container: 0, text: text.as_bytes().to_vec() }
}

fn lines(path: &Path) -> Vec<Line> {
    let mut reader = Reader::open(path, 0).expect("the log is there");
    std::iter::from_fn(|| reader.next_line().expect("the log is whole")).collect()
}

#[test]
fn a_line_is_one_however_it_arrives() {
    let write = |log: &mut Writer| {
        log.feed(STDOUT, UnixNanos(1), b"one\ntw");
        log.feed(STDERR, UnixNanos(2), b"other\n");
        log.feed(STDOUT, UnixNanos(3), b"o\n\n");
        log.feed(STDOUT, UnixNanos(4), b"without an end");
        log.close(STDOUT);
        log.finish(UnixNanos(5));
    };
    let want = [
        (Source::Stdout, 1, "one"),
        (Source::Stderr, 2, "other"),
        (Source::Stdout, 1, "two"),
        (Source::Stdout, 3, ""),
        (Source::Stdout, 4, "without an end"),
    ];
    check(BOUNDS, write, &want);
}

#[test]
fn a_long_line_is_cut_with_a_note_and_the_next_is_whole() {
    let write = |log: &mut Writer| {
        for _ in 0..3 {
            log.feed(STDOUT, UnixNanos(1), b"0123456789");
        }
        log.feed(STDOUT, UnixNanos(2), b"\nnext\n");
        log.finish(UnixNanos(3));
    };
    let want = [
        (Source::Stdout, 1, "0123456789012345 … 14 bytes of this line dropped"),
        (Source::Stdout, 2, "next"),
    ];
    check(BOUNDS, write, &want);
}

#[test]
fn a_full_log_stays_full_and_says_what_it_dropped() {
    let bounds = LogBounds { line_bytes: 100, total_bytes: 50 };
    let write = |log: &mut Writer| {
        log.feed(STDOUT, UnixNanos(1), b"0123456789\n");
        log.feed(STDOUT, UnixNanos(2), b"01234567890123456789\nfits\n");
        log.finish(UnixNanos(3));
    };
    let note = "… 26 bytes of output dropped: the log of an attempt holds at most 50 bytes";
    check(bounds, write, &[(Source::Stdout, 1, "0123456789"), (Source::Note, 3, note)]);
}

#[test]
fn what_could_not_be_written_is_counted_and_the_rest_is_kept() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("missing").join("log");
    let mut writer = Writer::new(path.clone(), BOUNDS);
    writer.feed(STDOUT, UnixNanos(1), b"lost\n");
    fs::create_dir(directory.path().join("missing")).expect("a directory can be made");
    writer.feed(STDOUT, UnixNanos(2), b"kept\n");
    writer.finish(UnixNanos(3));
    let note = "… 5 bytes of output dropped: the log could not be written (No such file or directory (os error 2))";
    let want = [(Source::Stdout, 2, "kept"), (Source::Note, 3, note)];
    assert_eq!(lines(&path), want.iter().map(line).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_holds_nothing_up() {
    let mut writer = Writer::new("/dev/full".into(), BOUNDS);
    for _ in 0..1000 {
        writer.feed(STDOUT, UnixNanos(1), b"line\n");
    }
    writer.finish(UnixNanos(2));
}

#[test]
fn silence_makes_no_file() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("log");
    Writer::new(path.clone(), BOUNDS).finish(UnixNanos(1));
    assert!(!path.exists());
}

#[test]
fn a_torn_last_line_is_read_when_it_is_whole() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let whole = directory.path().join("whole");
    let mut writer = Writer::new(whole.clone(), BOUNDS);
    writer.feed(STDOUT, UnixNanos(1), b"one\ntwo\n");
    let bytes = fs::read(&whole).expect("the log is there");
    for cut in 0..bytes.len() {
        let path = directory.path().join(format!("cut-{cut}"));
        fs::write(&path, &bytes[..cut]).expect("a file can be written");
        let mut reader = Reader::open(&path, 0).expect("the log is there");
        let mut read = Vec::new();
        while let Some(line) = reader.next_line().expect("the log is whole") {
            read.push(line);
        }
        let mut file = fs::File::options().append(true).open(&path).expect("a file can be opened");
        file.write_all(&bytes[cut..]).expect("a file can be written");
        while let Some(line) = reader.next_line().expect("the log is whole") {
            read.push(line);
        }
        let want = [(Source::Stdout, 1, "one"), (Source::Stdout, 1, "two")];
        assert_eq!(read, want.iter().map(line).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(reader.offset(), bytes.len() as u64);
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("log");
    fs::write(&path, b"something else entirely").expect("a file can be written");
    let mut reader = Reader::open(&path, 0).expect("the file is there");
    assert!(matches!(reader.next_line(), Err(LogError::Garbled(0))));
}

#[test]
fn lines_of_several_containers_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("log");
    let mut writer = Writer::new(path.clone(), BOUNDS);
    let ninth = Stream { container: 9, source: Source::Stderr };
    writer.feed(STDERR, UnixNanos(1), b"be");
    writer.feed(ninth, UnixNanos(2), b"other\nend");
    writer.feed(STDERR, UnixNanos(3), b"fore\n");
    writer.finish(UnixNanos(4));
    let read: Vec<(usize, i64, Vec<u8>)> =
        lines(&path).into_iter().map(|line| (line.container, line.at.0, line.text)).collect();
    let want = [(9, 2, b"other".to_vec()), (0, 1, b"before".to_vec()), (9, 2, b"end".to_vec())];
    assert_eq!(read, want);
}

/// As the first version wrote it, when an attempt had one container.
#[test]
fn a_log_of_the_first_version_is_read() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("log");
    let frame = b"\x02\0\0\0\x07\0\0\0\0\0\0\0\x02hi";
    fs::write(&path, [b"GRLOG\0\0\x01".as_slice(), frame].concat()).expect("it is written");
    assert_eq!(lines(&path), [line(&(Source::Stderr, 7, "hi"))]);
    let again = directory.path().join("again");
    let mut writer = Writer::new(again.clone(), BOUNDS);
    writer.feed(STDERR, UnixNanos(7), b"hi\n");
    writer.finish(UnixNanos(8));
    assert_eq!(fs::read(again).expect("it is there"), fs::read(path).expect("it is there"));
}
