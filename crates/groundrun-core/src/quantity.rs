//! Kubernetes quantities: `1000m`, `2`, `0.5`, `512Mi`, `1.5Gi`, `1e9`.

/// The suffixes, as a factor in thousandths of the unit; longest first, so that `Mi` is not read as `i`.
const SUFFIXES: [(&str, u128); 14] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1000),
];

/// The quantity in thousandths, rounded up as Kubernetes does: `0.5` is 500. `None` if it is not one, is negative, or
/// does not fit.
#[must_use]
pub fn millis(text: &str) -> Option<u64> {
    thousandths(text).and_then(|value| value.try_into().ok())
}

/// The quantity in whole units, rounded up: `512Mi` is 536,870,912. `None` as for [`millis`].
#[must_use]
pub fn units(text: &str) -> Option<u64> {
    thousandths(text).and_then(|value| value.div_ceil(1000).try_into().ok())
}

fn thousandths(text: &str) -> Option<u128> {
    let (number, factor) = match text.split_once(['e', 'E']).filter(|(_, power)| !power.is_empty())
    {
        Some((number, power)) => {
            (number, 1000u128.checked_mul(10u128.checked_pow(power.parse().ok()?)?)?)
        }
        None => SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scale = 10u128.checked_pow(fraction.len().try_into().ok()?)?;
    let value: u128 = format!("{whole}{fraction}").parse().ok()?;
    Some(value.checked_mul(factor)?.div_ceil(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        for (text, expected) in [
            ("1000m", Some(1000)),
            ("1", Some(1000)),
            ("0.08", Some(80)),
            (".5", Some(500)),
            ("1.0001", Some(1001)),
            ("2k", Some(2_000_000)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1 ", None),
            ("1x", None),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
        for (text, expected) in [
            ("512Mi", Some(512 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("1e9", Some(1_000_000_000)),
            ("2E", Some(2_000_000_000_000_000_000)),
            ("100m", Some(1)),
            ("99999999999999999999999E", None),
        ] {
            assert_eq!(units(text), expected, "{text:?}");
        }
    }
}
