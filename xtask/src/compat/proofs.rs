//! The tests of the workspace by name: functions, scenarios of the core, and trials with real containers.

use std::{collections::BTreeMap, path::Path};

use super::code;

/// Where the scripts of the core lie; each is a test.
const SCENARIOS: &str = "crates/groundrun-core/tests/scenarios/";

/// Where trials are listed as `("what holds", function)`: they have a `main` of their own.
const TRIALS: [&str; 3] = [
    "crates/testkit/src/conformance/",
    "crates/groundrun-host/tests/conformance/",
    "crates/groundrun-shim/tests/containers/",
];

/// A test that shows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// From the project's root.
    pub(super) file: String,
    /// How the document names it.
    pub(super) shown: String,
    /// Its text, with blanks joined, and what it compares with.
    pub(super) body: String,
}

/// All tests by name. One name may be in several files.
#[derive(Clone, Debug, Default)]
pub(super) struct Proofs(BTreeMap<String, Vec<Proof>>);

impl Proofs {
    /// Reads all sources.
    pub(super) fn collect() -> Result<Self, String> {
        let mut all = Self::default();
        for file in code::files("crates", ".rs")? {
            let text = code::read(&file)?;
            all.functions(&file, &text);
            if TRIALS.iter().any(|folder| file.starts_with(folder)) {
                all.trials(&file, &text);
            }
        }
        for file in code::files(SCENARIOS, ".txt")? {
            let name = format!("scenario {}", stem(&file));
            let body = code::read(&file)?;
            all.add(&name, Proof { file, shown: name.clone(), body });
        }
        for file in code::files("crates", ".snap")? {
            all.snapshot(&file, &code::read(&file)?);
        }
        Ok(all)
    }

    /// The functions of one text.
    #[cfg(test)]
    pub(super) fn of(file: &str, text: &str) -> Self {
        let mut all = Self::default();
        all.functions(file, text);
        all
    }

    /// The one test of a name; `file::name` where several files have it.
    pub(super) fn find(&self, name: &str) -> Result<&Proof, String> {
        let (of, name) = name.split_once("::").map_or((None, name), |(of, name)| (Some(of), name));
        let found = self.0.get(name).into_iter().flatten();
        let found: Vec<&Proof> =
            found.filter(|proof| of.is_none_or(|of| stem(&proof.file) == of)).collect();
        match found[..] {
            [proof] => Ok(proof),
            [] => Err(format!("no test is called {name}")),
            _ => {
                let files: Vec<&str> = found.iter().map(|proof| proof.file.as_str()).collect();
                Err(format!("several tests are called {name}: {}", files.join(", ")))
            }
        }
    }

    fn add(&mut self, name: &str, proof: Proof) {
        self.0.entry(name.to_owned()).or_default().push(proof);
    }

    /// Functions marked `#[test]` or `#[tokio::test]`. What is left out of a usual run shows nothing.
    fn functions(&mut self, file: &str, text: &str) {
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            if !(line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
                continue;
            }
            let attributes = || lines[at..].iter().take_while(|line| line.starts_with("#["));
            if attributes().any(|line| line.starts_with("#[ignore")) {
                continue;
            }
            let signature = lines.get(at + attributes().count()).copied().unwrap_or_default();
            let name = signature.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            if let Some((name, _)) = name {
                let body = code::function(text, name).unwrap_or_default();
                let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
                let shown = name.to_owned();
                self.add(name, Proof { file: file.to_owned(), shown, body });
            }
        }
    }

    /// `…__tests__jobs__a_new_job-2.snap` belongs to `a_new_job` of `jobs.rs`.
    fn snapshot(&mut self, file: &str, text: &str) {
        let mut parts = stem(file).rsplit("__");
        let (Some(name), Some(of)) = (parts.next(), parts.next()) else { return };
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
        let proofs = self.0.get_mut(name).into_iter().flatten();
        for proof in proofs.filter(|proof| stem(&proof.file) == of) {
            proof.body.push_str(text);
        }
    }

    /// A sentence in a table of `("what holds", function),` or a function whose name is such a sentence.
    fn trials(&mut self, file: &str, text: &str) {
        for line in text.lines() {
            let entry = line.trim().strip_prefix("(\"").and_then(|rest| rest.split_once("\", "));
            if let Some((name, function)) = entry
                && let Some(function) = function.trim_end_matches(',').strip_suffix(')')
                // Where both are one, the function is found below.
                && (name.contains(' ') || (name.contains('_') && function != name))
            {
                self.trial(name, function, file, text);
            }
        }
        for name in code::between(text, "\nfn ", "(lab: &Lab)") {
            if text.contains(&format!("\"{name}\",")) {
                self.trial(name, name, file, text);
            }
        }
    }

    fn trial(&mut self, name: &str, function: &str, file: &str, text: &str) {
        let shown = format!("*{}*", name.replace('_', " "));
        let body = code::function(text, function).unwrap_or_default().to_owned();
        self.add(name, Proof { file: file.to_owned(), shown, body });
    }
}

fn stem(file: &str) -> &str {
    Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_its_name_and_told_from_one_elsewhere() {
        let mut all = Proofs::default();
        all.functions("a/jobs.rs", "#[test]\nfn holds() {\n    one\n      (two);\n}\n");
        all.functions("a/tasks.rs", "    #[tokio::test]\n    async fn holds() {}\n");
        all.functions(
            "a/tasks.rs",
            "#[test]\n#[ignore = \"slow\"]\nfn slow() {\n}\nfn plain() {}\n",
        );
        assert!(all.find("holds").is_err_and(|why| why.contains("a/jobs.rs, a/tasks.rs")));
        assert_eq!(
            all.find("jobs::holds").map(|proof| proof.body.as_str()),
            Ok("fn holds() { one (two);")
        );
        for absent in ["slow", "plain", "lists::holds"] {
            assert!(all.find(absent).is_err(), "{absent}");
        }
    }

    #[test]
    fn what_a_test_compares_with_is_part_of_it() {
        let mut all = Proofs::of("a/jobs.rs", "#[test]\nfn a_job() {\n}\n");
        all.snapshot("a/core__tests__jobs__a_job-2.snap", "kind: Job");
        all.snapshot("a/core__tests__tasks__a_job.snap", "kind: Task");
        assert_eq!(all.find("a_job").map(|proof| proof.body.as_str()), Ok("fn a_job() {kind: Job"));
    }

    #[test]
    fn a_trial_is_found_by_its_sentence() {
        let mut all = Proofs::default();
        all.trials(
            "t/end.rs",
            "    (\"an exit code is told\", exit_code),\n    (\"name\", \"x\"),\n",
        );
        assert_eq!(
            all.find("an exit code is told").map(|p| p.shown.as_str()),
            Ok("*an exit code is told*")
        );
        assert!(all.find("name").is_err());
    }
}
