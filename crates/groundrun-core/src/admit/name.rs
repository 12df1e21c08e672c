//! Names of jobs and executions (fact: semantics 1.2).

use groundrun_api::v1::{JobSpec, ObjectMeta};

use super::faults::Faults;
use crate::token::{Token, Until};

/// Longest name of a job or an execution.
const NAME_MAX: usize = 63;

/// `generateName` must be shorter than this.
const PREFIX_END: usize = 31;

/// What a job is called whose document names neither `name` nor `generateName`.
const DEFAULT_PREFIX: &str = "job-";

const NAME_RULE: &str = "only lowercase, digits, and hyphens; must begin with letter, and may not end with hyphen; \
                         must be less than 64 characters.";

/// The random end of a generated name: five characters that spell no word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix(String);

impl Suffix {
    /// Uses the lowest 24 of the bits given.
    #[must_use]
    pub fn new(random: u32) -> Self {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut rest = random % 27_u32.pow(5);
        let mut letter = || {
            let letter = ALPHABET[(rest % 27) as usize];
            rest /= 27;
            char::from(letter)
        };
        Self(std::iter::repeat_with(&mut letter).take(5).collect())
    }
}

/// `{job}-{suffix}`. A job's name too long for that is cut to fit (decided: semantics 11).
#[must_use]
pub fn execution_name(job: &str, suffix: &Suffix) -> String {
    let end = job.floor_char_boundary(NAME_MAX - 1 - suffix.0.len());
    format!("{}-{}", &job[..end], suffix.0)
}

const TOKEN_RULE: &str = "only lowercase, digits, and hyphens; may not end with hyphen; the sum of job name and token length must be fewer \
     than 63 characters.";

/// Checks the token of a job's spec: the name of its execution must be one (fact: semantics 1.2, 3.4).
pub(super) fn token(job: &str, spec: &JobSpec, faults: &mut Faults) {
    let Some(token) = Token::of(spec) else { return };
    let field = match token.until {
        Until::Started => "job.spec.start_execution_token",
        Until::Succeeded => "job.spec.run_execution_token",
    };
    // A name that is wrong itself is told where it stands.
    let long = job.len() + token.text.len() >= NAME_MAX;
    if long || !is_name(&format!("x{}", token.text)) {
        faults.add(field, TOKEN_RULE);
    }
}

/// The name that the document gives, or a generated one.
pub(super) fn of_job(metadata: &ObjectMeta, suffix: &Suffix, faults: &mut Faults) -> String {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(name) = given(&metadata.name) {
        if !is_name(&name) {
            faults.add("job.metadata.name", NAME_RULE);
        }
        return name;
    }
    let Some(prefix) = given(&metadata.generate_name) else {
        return format!("{DEFAULT_PREFIX}{}", suffix.0);
    };
    let name = format!("{prefix}{}", suffix.0);
    if prefix.len() >= PREFIX_END {
        faults.add("job.metadata.generateName", "must be less than 31 characters.");
    } else if !is_name(&name) {
        faults.add("job.metadata.generateName", NAME_RULE);
    }
    name
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, prefix: &str) -> (String, Vec<String>) {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            generate_name: Some(prefix.to_owned()),
            ..ObjectMeta::default()
        };
        let mut faults = Faults::default();
        let name = of_job(&metadata, &Suffix::new(0), &mut faults);
        (name, faults.into_lines())
    }

    #[test]
    fn a_job_name_is_one_label_of_at_most_63_lowercase_characters() {
        let longest = "a".repeat(63);
        for good in ["a", "a1", "a-1", "a--b", &longest] {
            assert_eq!(named(good, ""), (good.to_owned(), vec![]));
        }
        for bad in ["A", "1a", "-a", "a-", "a_b", "a.b", "ä", &"a".repeat(64)] {
            let expected = format!("job.metadata.name: {NAME_RULE}");
            assert_eq!(named(bad, "").1, [expected], "{bad}");
        }
    }

    #[test]
    fn a_missing_name_is_generated() {
        assert_eq!(named("", ""), ("job-bbbbb".to_owned(), vec![]));
        assert_eq!(named("", "nightly-"), ("nightly-bbbbb".to_owned(), vec![]));
        assert_eq!(named("given", "nightly-"), ("given".to_owned(), vec![]));
        assert_eq!(
            named("", &"a".repeat(31)).1,
            ["job.metadata.generateName: must be less than 31 characters."]
        );
        assert_eq!(named("", "Nightly").1, [format!("job.metadata.generateName: {NAME_RULE}")]);
    }

    #[test]
    fn a_token_ends_the_name_of_an_execution() {
        let faults = |job: &str, token: &str| {
            let spec =
                JobSpec { run_execution_token: Some(token.to_owned()), ..JobSpec::default() };
            let mut faults = Faults::default();
            super::token(job, &spec, &mut faults);
            faults.into_lines()
        };
        for good in ["a", "2026-07-01", "-a", "", &"a".repeat(61)] {
            assert_eq!(faults("j", good), Vec::<String>::new(), "{good}");
        }
        for bad in ["A", "a-", "a_b", "a.b", "ä", &"a".repeat(62)] {
            let expected = format!("job.spec.run_execution_token: {TOKEN_RULE}");
            assert_eq!(faults("j", bad), [expected], "{bad}");
        }
        assert_eq!(faults(&"j".repeat(61), "t"), Vec::<String>::new());
        assert_eq!(faults(&"j".repeat(62), "t").len(), 1);
    }

    #[test]
    fn suffixes_cover_the_alphabet_and_spell_no_word() {
        assert_eq!(Suffix::new(27_u32.pow(5) - 1), Suffix("99999".to_owned()));
        assert_ne!(Suffix::new(1), Suffix::new(2));
        assert!(
            !(0..27)
                .any(|n| Suffix::new(n).0.contains(['a', 'e', 'i', 'o', 'u', 'y', '0', '1', '3']))
        );
    }

    #[test]
    fn an_execution_name_fits_whatever_the_job_is_called() {
        let suffix = Suffix::new(7);
        assert_eq!(execution_name("j", &suffix).len(), 7);
        let long = execution_name(&"a".repeat(63), &suffix);
        assert_eq!(long.len(), 63);
        assert!(long.ends_with(&suffix.0));
    }
}
