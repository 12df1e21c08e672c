//! Names of secrets and versions, as paths have them.

use groundrun_core::secret::SecretName;

/// Longest name of a secret.
const SECRET_ID_MAX: usize = 255;

/// Longest alias of a version.
const ALIAS_MAX: usize = 63;

/// Is it the name of a secret: letters, digits, `-` and `_`, at most 255?
#[must_use]
pub fn is_secret_id(text: &str) -> bool {
    (1..=SECRET_ID_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Is it an alias: letters, digits, `-` and `_`, at most 63, beginning with a letter, not `latest` and not `NEW`?
#[must_use]
pub fn is_alias(text: &str) -> bool {
    text.len() <= ALIAS_MAX
        && text.bytes().all(is_plain)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !matches!(text, "latest" | "NEW")
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

/// Which version is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionId {
    /// This one.
    Number(i64),
    /// The newest, whatever its state.
    Latest,
    /// That which the secret's alias stands for.
    Alias(String),
}

impl VersionId {
    /// Reads `3`, `latest` or `prod`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "latest" {
            return Some(Self::Latest);
        }
        let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Some(Self::Number(number)),
            _ => is_alias(text).then(|| Self::Alias(text.to_owned())),
        }
    }
}

/// A secret with the number of its project, which Google's answers and errors name it by.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Number of the project.
    pub number: &'a str,
    /// The secret.
    pub name: &'a SecretName,
}

impl Shown<'_> {
    /// `projects/123/secrets/s`, or with a location.
    #[must_use]
    pub fn secret(&self) -> String {
        let SecretName { location, secret, .. } = self.name;
        match location {
            None => format!("projects/{}/secrets/{secret}", self.number),
            Some(location) => {
                format!("projects/{}/locations/{location}/secrets/{secret}", self.number)
            }
        }
    }

    /// `projects/123/secrets/s/versions/1`.
    #[must_use]
    pub fn version(&self, version: impl std::fmt::Display) -> String {
        format!("{}/versions/{version}", self.secret())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_version_is_a_number_latest_or_an_alias() {
        for (text, meant) in [
            ("1", Some(VersionId::Number(1))),
            ("12345", Some(VersionId::Number(12345))),
            ("latest", Some(VersionId::Latest)),
            ("prod_2-b", Some(VersionId::Alias("prod_2-b".to_owned()))),
            ("", None),
            ("0", None),
            ("01", None),
            ("-1", None),
            ("1a", None),
            ("NEW", None),
            ("a.b", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(VersionId::parse(text), meant, "{text:?}");
        }
        assert_eq!(VersionId::parse(&"a".repeat(64)), None);
    }

    #[test]
    fn the_names_of_secrets_are_googles() {
        let long = "a".repeat(255);
        for good in ["a", "A-b_9", "1", "-", &long] {
            assert!(is_secret_id(good), "{good}");
        }
        for bad in ["", "a.b", "a/b", "ä", "a b", &format!("{long}a")] {
            assert!(!is_secret_id(bad), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_shown_by_the_number_of_its_project() {
        let mut name =
            SecretName { project: "demo".to_owned(), location: None, secret: "s".to_owned() };
        assert_eq!(
            Shown { number: "42", name: &name }.version(3),
            "projects/42/secrets/s/versions/3"
        );
        name.location = Some("us-east1".to_owned());
        assert_eq!(
            Shown { number: "42", name: &name }.secret(),
            "projects/42/locations/us-east1/secrets/s"
        );
    }

    proptest! {
        #[test]
        fn no_text_is_two_things_at_once(text in "[-a-zA-Z0-9_./]{0,70}") {
            let number = matches!(VersionId::parse(&text), Some(VersionId::Number(_)));
            prop_assert!(!(number && is_alias(&text)));
            prop_assert!(!is_alias(&text) || is_secret_id(&text));
        }
    }
}
