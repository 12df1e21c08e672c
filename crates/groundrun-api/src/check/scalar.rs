//! Scalars as proto3 JSON accepts them, and the one form in which they leave: `None` is "not one of this kind".

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use jiff::Timestamp;
use serde_json::{Number, Value};

use crate::time::Time;

/// Seconds of the first and the last moment that `google.protobuf.Timestamp` can say: years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A boolean, or one in quotes.
pub(super) fn boolean(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) => Some(value.clone()),
        Value::String(text) => text.parse::<bool>().ok().map(Value::Bool),
        _ => None,
    }
}

/// A whole number, or one in quotes; leaves as a number.
pub(super) fn int32(value: &Value) -> Option<Value> {
    whole(value).and_then(|number| i32::try_from(number).ok()).map(Value::from)
}

/// A whole number, or one in quotes; leaves as a string.
pub(super) fn int64(value: &Value) -> Option<Value> {
    whole(value).map(|number| Value::from(number.to_string()))
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole_float(number)),
        Value::String(text) => {
            text.parse::<i64>().ok().or_else(|| whole_float(&text.parse::<Number>().ok()?))
        }
        _ => None,
    }
}

/// `1.0` and `1e3` are whole. Above 2^53 a float no longer says which number is meant.
fn whole_float(number: &Number) -> Option<i64> {
    let float = number.as_f64()?;
    let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, as just seen")]
    exact.then_some(float as i64)
}

/// The name of an enum's value, or its number; leaves as the name.
pub(super) fn name_of(names: &[String], value: &Value) -> Option<Value> {
    let name = match value {
        Value::String(text) => names.iter().find(|name| *name == text),
        Value::Number(number) => names.get(usize::try_from(number.as_u64()?).ok()?),
        _ => None,
    };
    name.map(|name| Value::from(name.as_str()))
}

/// Base64, standard or URL-safe, padded or not; leaves standard and padded.
pub(super) fn bytes(value: &Value) -> Option<Value> {
    let bytes = base64(value.as_str()?)?;
    Some(Value::from(general_purpose::STANDARD.encode(bytes)))
}

/// The bytes of base64, standard or URL-safe, padded or not.
#[must_use]
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let either_padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, either_padding).decode(text).ok())
}

/// RFC 3339 with 0 to 9 fractional digits and any offset; leaves in UTC with 6 digits, the rest cut off.
pub(super) fn timestamp(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    // The parser of jiff knows more forms than RFC 3339: blanks, weeks, time zones in brackets.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-+:.TZtz".contains(&byte));
    let time: Timestamp = text.parse().ok().filter(|_| plain && text.len() >= 20)?;
    SECONDS.contains(&time.as_second()).then(|| Value::from(Time(time).to_string()))
}

/// Paths such as `bindings,etag`, joined by commas.
pub(super) fn fieldmask(value: Value) -> Option<Value> {
    let paths = value.as_str()?;
    let letter = |c: char| c.is_ascii_alphanumeric() || "_.,*".contains(c);
    paths.chars().all(letter).then_some(value)
}
