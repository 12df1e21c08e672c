//! Timestamps as the API writes them: RFC 3339, UTC, microseconds.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A point in time. Reads 0 to 9 fractional digits, writes 6 (fact: semantics 1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub Timestamp);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl From<Timestamp> for Time {
    fn from(value: Timestamp) -> Self {
        Self(value)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_any_fraction_and_offset_and_written_with_six_digits() {
        let table = [
            ("2026-08-21T00:04:13Z", "2026-08-21T00:04:13.000000Z"),
            ("2026-08-21T00:04:13.5Z", "2026-08-21T00:04:13.500000Z"),
            ("2026-08-21T00:04:13.999999999Z", "2026-08-21T00:04:13.999999Z"),
            ("2026-08-21T02:04:13.549125+02:00", "2026-08-21T00:04:13.549125Z"),
        ];
        for (read, written) in table {
            let time: Time = serde_json::from_value(read.into()).expect(read);
            assert_eq!(serde_json::to_value(time).expect(read), written);
        }
        assert!(serde_json::from_value::<Time>("today".into()).is_err());
    }
}
