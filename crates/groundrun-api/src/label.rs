//! What keys and values of labels may look like.

/// Longest prefix of a label's key: a DNS name.
const PREFIX_MAX: usize = 253;

/// Longest name in a label's key, and longest value.
const NAME_MAX: usize = 63;

/// Why a text is not a label's key or value. As in Kubernetes, whose selectors they are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelFault {
    /// The part of the key before the `/`.
    #[error(
        "the prefix must be a DNS name of at most 253 characters: lowercase letters, digits, '-' and '.'"
    )]
    Prefix,
    /// The part of the key after the `/`, or all of it.
    #[error(
        "the name must have 1 to 63 characters: letters, digits, '-', '_' and '.', beginning and ending with a letter \
         or digit"
    )]
    Name,
    /// The value.
    #[error(
        "the value must have at most 63 characters: letters, digits, '-', '_' and '.', beginning and ending with a \
         letter or digit"
    )]
    Value,
}

/// Checks a label's key, such as `team` or `run.googleapis.com/job`.
///
/// # Errors
/// Which part of it is wrong.
pub fn check_key(key: &str) -> Result<(), LabelFault> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
        return Err(LabelFault::Prefix);
    }
    if is_label_word(name) { Ok(()) } else { Err(LabelFault::Name) }
}

/// Checks a label's value; it may be empty.
///
/// # Errors
/// Always [`LabelFault::Value`].
pub fn check_value(value: &str) -> Result<(), LabelFault> {
    if value.is_empty() || is_label_word(value) { Ok(()) } else { Err(LabelFault::Value) }
}

fn is_label_word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= NAME_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
}

fn is_dns_name(text: &str) -> bool {
    let is_dns_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= PREFIX_MAX && text.split('.').all(is_dns_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_values_are_those_of_kubernetes() {
        let (long, too_long) = ("a".repeat(63), "a".repeat(64));
        let deep = format!("{}/a", "a.".repeat(127) + "a");
        for good in ["a", "A-b_c.9", "run.googleapis.com/job", "a/B", &long] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "a/", "-a", "a-", "a b", "ä", "a/b/c", &too_long] {
            assert_eq!(check_key(bad), Err(LabelFault::Name), "{bad}");
        }
        for bad in ["/a", "A/a", "a..b/a", "-a/a", "a_b/a", &deep] {
            assert_eq!(check_key(bad), Err(LabelFault::Prefix), "{bad}");
        }
        for good in ["", "x", "fig_bux_kem", &long] {
            assert_eq!(check_value(good), Ok(()), "{good}");
        }
        for bad in ["a:b", "_", " ", &too_long] {
            assert_eq!(check_value(bad), Err(LabelFault::Value), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-zA-Z0-9_./\u{e4}]{0,70}") {
            let _ = (check_key(&text), check_value(&text));
        }
    }
}
