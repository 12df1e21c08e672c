//! YAML documents, as JSON values for the checker: JSON files are YAML too.
//!
//! As gcloud reads them: one document, no key twice, and only `true` and `false` are booleans, so
//! that `yes` is a string.

use serde_json::Value;
use serde_saphyr::{
    DuplicateKeyPolicy, Error, Options, SnippetMode, UserMessageFormatter, alias_limits, budget,
    options, render_options,
};

/// What is parsed at most, in events of the parser. The checker allows 100,000 values, each of one or two events.
const EVENTS_MAX: usize = 250_000;

/// Levels of nesting. The deepest field of a job is at 16.
const DEPTH_MAX: usize = 64;

/// Anchors, and uses of them: more than anybody writes by hand.
const ANCHORS_MAX: usize = 1_000;

/// The text is not one YAML document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct YamlError {
    /// From 1; 0 where no line is to blame.
    pub line: u64,
    /// From 1; 0 where no line is to blame.
    pub column: u64,
    /// For a person.
    pub message: String,
}

/// Reads one document.
///
/// # Errors
/// Not YAML, several documents, a key twice in one mapping, or more of anything than the bounds above.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    serde_saphyr::from_str_with_options(text, bounds()).map_err(|error| located(&error))
}

fn bounds() -> Options {
    options! {
        budget: budget! {
            max_events: EVENTS_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_anchors: ANCHORS_MAX,
            max_aliases: ANCHORS_MAX,
            max_recorded_anchor_events: EVENTS_MAX,
        },
        alias_limits: alias_limits! {
            max_total_replayed_events: EVENTS_MAX,
            max_replay_stack_depth: DEPTH_MAX,
            max_alias_expansions_per_anchor: ANCHORS_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn located(error: &Error) -> YamlError {
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let message = match error.without_snippet() {
        Error::MultipleDocuments { .. } => {
            "a second document begins here, and one is expected".to_owned()
        }
        other => plain(other),
    };
    YamlError { line, column, message }
}

/// The library's message without its own mentions of the place, which end it.
fn plain(error: &Error) -> String {
    let options = render_options! { formatter: &UserMessageFormatter, snippets: SnippetMode::Off };
    let text = error.render_with_options(options);
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{check::decode, v1::Job};

    /// As `gcloud run jobs describe --format=export` prints it.
    const EXPORTED: &str = "\
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  annotations:
    run.googleapis.com/client-name: gcloud
    run.googleapis.com/client-version: 528.0.0
  labels:
    run.googleapis.com/lastUpdatedTime: '2026-11-23T10:00:00.123456Z'
  name: primes
spec:
  template:
    metadata:
      labels:
        client.knative.dev/nonce: fig_bux_kem
    spec:
      parallelism: 2
      taskCount: 5
      template:
        spec:
          containers:
          - command: [/bin/sh, -c]
            args:
            - |
              echo one
              echo two
            env:
            - name: A
              value: '1'
            - name: YES
              value: yes
            image: builtin.groundrun/job
            resources:
              limits:
                cpu: 1000m
                memory: 512Mi
          maxRetries: 0
          timeoutSeconds: '600'
";

    #[test]
    fn an_exported_job_is_read_as_its_json_would_be() {
        let job: Job = decode(parse(EXPORTED).unwrap()).unwrap();
        insta::assert_json_snapshot!(job);
    }

    #[test]
    fn json_is_yaml() {
        let value = json!({"kind": "Job", "spec": {"x": [1, 2.5, null, true, "a\n"]}});
        assert_eq!(parse(&serde_json::to_string_pretty(&value).unwrap()), Ok(value));
    }

    #[test]
    fn what_is_refused_is_refused_with_its_place() {
        let table = [
            ("two documents", "a: 1\n---\nb: 2\n"),
            ("duplicate key", "a: 1\nb:\n  c: 1\n  c: 2\n"),
            ("tab", "a:\n\tb: 1\n"),
            ("unclosed", "a: [1, 2\n"),
            ("unknown alias", "a: *b\n"),
            ("indent", "a: 1\n  b: 2\n"),
            ("not finite", "a: .inf\n"),
        ];
        let lines: Vec<String> = table
            .iter()
            .map(|(what, text)| format!("{what}: {}", parse(text).expect_err(what)))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_before_it_grows() {
        let level =
            |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
        let bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()
            + &(1..9).map(level).collect::<String>();
        let error = parse(&bomb).unwrap_err();
        assert!(error.message.contains("too large or too complex"), "{error}");

        let deep = "[".repeat(10_000);
        assert!(parse(&deep).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-c:&*\\[\\]{}\"'|>#!?%@,.0-9 \n\t]{0,48}|.{0,48}") {
            let _ = parse(&text);
        }
    }
}
