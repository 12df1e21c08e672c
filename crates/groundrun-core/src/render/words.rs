//! Durations and conditions in the words of the real service (fact: semantics 4.2).

use std::fmt::Write;

use groundrun_api::v1;
use jiff::Timestamp;

/// `28m1s`, `2m5.2s`, `1h16m57.39s`: fractions are cut to hundredths, and zeros at their end are left out.
pub(super) fn duration(since: Timestamp, until: Timestamp) -> String {
    let millis = until.duration_since(since).as_millis().max(0);
    let (seconds, hundredths) = (millis / 1000, millis % 1000 / 10);
    let mut text = String::new();
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm')];
    for (amount, unit) in parts {
        if amount > 0 || !text.is_empty() {
            write!(text, "{amount}{unit}").expect("writing to a string succeeds");
        }
    }
    let fraction = format!("{hundredths:02}");
    match fraction.trim_end_matches('0') {
        "" => write!(text, "{}s", seconds % 60),
        digits => write!(text, "{}.{digits}s", seconds % 60),
    }
    .expect("writing to a string succeeds");
    text
}

/// `{what} in 1.7s.`, and just `{what}.` for less than a second, as the real service says it.
pub(super) fn took(what: &str, since: Timestamp, until: Timestamp) -> String {
    if until.duration_since(since).as_millis() < 1000 {
        format!("{what}.")
    } else {
        format!("{what} in {}.", duration(since, until))
    }
}

/// The `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

/// A condition with no more than its type, status and time.
pub(super) fn condition(kind: &str, truth: Truth, since: Timestamp) -> v1::Condition {
    let status = match truth {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    };
    v1::Condition {
        r#type: Some(kind.to_owned()),
        status: Some(status.to_owned()),
        last_transition_time: Some(since.into()),
        ..v1::Condition::default()
    }
}

/// The same with a message.
pub(super) fn saying(condition: v1::Condition, message: impl Into<String>) -> v1::Condition {
    v1::Condition { message: Some(message.into()), ..condition }
}

/// A counter: zero is left out.
pub(super) fn count(number: u32) -> Option<i32> {
    (number > 0).then(|| i32::try_from(number).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn durations_read_as_the_real_service_writes_them() {
        for (millis, expected) in [
            (0, "0s"),
            (9, "0s"),
            (120, "0.12s"),
            (1_700, "1.7s"),
            (44_919, "44.91s"),
            (72_950, "1m12.95s"),
            (125_200, "2m5.2s"),
            (1_681_000, "28m1s"),
            (3_600_000, "1h0m0s"),
            (4_617_390, "1h16m57.39s"),
            (360_000_000, "100h0m0s"),
            (-5, "0s"),
        ] {
            let until = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millis);
            assert_eq!(duration(Timestamp::UNIX_EPOCH, until), expected);
        }
    }

    #[test]
    fn less_than_a_second_is_not_mentioned() {
        let at = |millis| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millis);
        assert_eq!(took("Imported", at(0), at(999)), "Imported.");
        assert_eq!(took("Imported", at(0), at(1000)), "Imported in 1s.");
    }
}
