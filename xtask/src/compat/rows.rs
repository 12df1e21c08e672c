//! `docs/compatibility.rows`: sections of rows kept by hand, and the rows of admission's table put into them.
//!
//! ```text
//! # Title
//! > A line of the section's text.
//! @fields Job.metadata            or @routes, @parameters, @commands; none: plain statements
//! subject | standing | what it does here | test; other::test; scenario cancel
//! + subject | test                one more test of a row of admission's table
//! = subject | test                instead of the general test of that row
//! ```

use std::collections::BTreeMap;

use groundrun_core::admit::{self, FIELDS, FieldRule};

/// The general tests of admission's table: what they show, they show of every row.
const REFUSED: &str = "every_refused_field_is_refused_by_name_with_the_note";
const IGNORED: &str = "every_ignored_field_changes_nothing";
const RETURNED: &str = "every_other_field_is_accepted_and_returned_as_given";
const REFUSED_OVERRIDE: &str = "every_refused_override_is_refused_by_name_with_the_note";
const HONOURED_OVERRIDE: &str = "every_honoured_override_is_shown_by_the_execution";

pub(super) const GENERAL: [&str; 5] =
    [REFUSED, IGNORED, RETURNED, REFUSED_OVERRIDE, HONOURED_OVERRIDE];

/// What becomes of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Honoured,
    Stored,
    Refused,
    Ignored,
    Decided,
}

/// What a section is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fields below a path, which may have alternatives: `{Job,Execution}.status`.
    Fields(String),
    /// `GET /path`.
    Routes,
    /// Of queries.
    Parameters,
    /// Of gcloud.
    Commands,
    /// Statements.
    Points,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// As shown; below the section's path, for a field.
    pub(super) subject: String,
    pub(super) standing: Standing,
    pub(super) note: String,
    /// Names of tests.
    pub(super) shown: Vec<String>,
    /// Whether it is a row of admission's table.
    pub(super) source: Source,
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Admission,
    Hand,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) intro: Vec<String>,
    pub(super) kind: Kind,
    pub(super) rows: Vec<Row>,
    /// Tests of rows of admission's table, by subject.
    tests: BTreeMap<String, Tests>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tests {
    Also(Vec<String>),
    Instead(Vec<String>),
}

impl Standing {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Stored => "stored",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
            Self::Decided => "decided",
        }
    }

    fn of(word: &str) -> Option<Self> {
        let all = [Self::Honoured, Self::Stored, Self::Refused, Self::Ignored, Self::Decided];
        all.into_iter().find(|standing| standing.word() == word)
    }
}

impl From<admit::Standing> for Standing {
    fn from(standing: admit::Standing) -> Self {
        match standing {
            admit::Standing::Honoured => Self::Honoured,
            admit::Standing::Stored => Self::Stored,
            admit::Standing::Refused => Self::Refused,
            admit::Standing::Ignored => Self::Ignored,
        }
    }
}

impl Kind {
    pub(super) fn column(&self) -> &'static str {
        match self {
            Self::Fields(_) => "Field",
            Self::Routes => "Method",
            Self::Parameters => "Parameter",
            Self::Commands => "Command",
            Self::Points => "Point",
        }
    }

    /// Whether its subjects are code.
    pub(super) fn is_code(&self) -> bool {
        *self != Self::Points
    }
}

impl Section {
    /// The whole paths of a field of this section; none where it is not about fields.
    pub(super) fn paths(&self, subject: &str) -> Vec<String> {
        match &self.kind {
            Kind::Fields(prefix) => alternatives(&format!("{prefix}.{subject}")),
            _ => Vec::new(),
        }
    }
}

/// `List{Jobs,Tasks}Response.kind` is two paths.
fn alternatives(path: &str) -> Vec<String> {
    let group = path.split_once('{').and_then(|(before, rest)| {
        let (inner, after) = rest.split_once('}')?;
        Some((before, inner, after))
    });
    match group {
        None => vec![path.to_owned()],
        Some((before, inner, after)) => inner
            .split(',')
            .flat_map(|one| alternatives(&format!("{before}{one}{after}")))
            .collect(),
    }
}

/// Reads the file. An error names its line.
pub(super) fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(Section {
                title: title.to_owned(),
                intro: Vec::new(),
                kind: Kind::Points,
                rows: Vec::new(),
                tests: BTreeMap::new(),
            });
            continue;
        }
        let section = sections.last_mut().ok_or("the first line is not a title")?;
        add(section, line).map_err(|why| format!("line {}: {why}", at + 1))?;
    }
    Ok(sections)
}

fn add(section: &mut Section, line: &str) -> Result<(), String> {
    if let Some(text) = line.strip_prefix("> ") {
        section.intro.push(text.to_owned());
        return Ok(());
    }
    if let Some(kind) = line.strip_prefix('@') {
        section.kind = match kind.split_once(' ').unwrap_or((kind, "")) {
            ("fields", prefix) if !prefix.is_empty() => Kind::Fields(prefix.to_owned()),
            ("routes", "") => Kind::Routes,
            ("parameters", "") => Kind::Parameters,
            ("commands", "") => Kind::Commands,
            _ => return Err(format!("@{kind} is not a kind of section")),
        };
        return Ok(());
    }
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    match cells[..] {
        [subject, tests] => {
            let (subject, tests) = match (subject.strip_prefix("+ "), subject.strip_prefix("= ")) {
                (Some(subject), _) => (subject, Tests::Also(names(tests))),
                (_, Some(subject)) => (subject, Tests::Instead(names(tests))),
                _ => return Err("two cells begin with + or =".to_owned()),
            };
            match section.tests.insert(subject.to_owned(), tests) {
                None => Ok(()),
                Some(_) => Err(format!("{subject} has its tests twice")),
            }
        }
        [subject, standing, note, tests] => {
            let standing =
                Standing::of(standing).ok_or_else(|| format!("{standing} is not a standing"))?;
            section.rows.push(Row {
                subject: subject.to_owned(),
                standing,
                note: note.to_owned(),
                shown: names(tests),
                source: Source::Hand,
            });
            Ok(())
        }
        _ => Err("a row has four cells".to_owned()),
    }
}

fn names(cell: &str) -> Vec<String> {
    cell.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Puts every rule of admission into the section whose path is its longest, before the rows kept by hand.
pub(super) fn complete(mut sections: Vec<Section>) -> Result<Vec<Section>, String> {
    let mut found: Vec<Vec<Row>> = sections.iter().map(|_| Vec::new()).collect();
    for rule in FIELDS {
        let places = sections.iter().enumerate().filter_map(|(index, section)| {
            let Kind::Fields(prefix) = &section.kind else { return None };
            Some((prefix.len(), index, rule.path.strip_prefix(prefix.as_str())?.strip_prefix('.')?))
        });
        let (_, index, subject) =
            places.max().ok_or_else(|| format!("no section is about {}", rule.path))?;
        let tests = sections[index].tests.remove(subject);
        found[index].push(row(rule, subject.to_owned(), tests)?);
    }
    for (section, mut rows) in sections.iter_mut().zip(found) {
        if let Some(subject) = section.tests.keys().next() {
            return Err(format!("{}: admission has no rule for {subject}", section.title));
        }
        rows.append(&mut section.rows);
        section.rows = rows;
    }
    Ok(sections)
}

fn row(rule: &FieldRule, subject: String, tests: Option<Tests>) -> Result<Row, String> {
    let standing = Standing::from(rule.standing);
    let general = match (rule.path.starts_with("Job."), standing) {
        (true, Standing::Refused) => REFUSED,
        (true, Standing::Ignored) => IGNORED,
        (true, _) => RETURNED,
        (false, Standing::Refused) => REFUSED_OVERRIDE,
        (false, _) => HONOURED_OVERRIDE,
    }
    .to_owned();
    let shown = match tests {
        Some(Tests::Instead(tests)) => tests,
        Some(Tests::Also(mut tests)) => {
            tests.push(general);
            tests
        }
        None if standing == Standing::Honoured => {
            return Err(format!(
                "{}: to be returned is not to be honoured: name a test",
                rule.path
            ));
        }
        None => vec![general],
    };
    let note = match standing {
        Standing::Refused => format!("“{}”", rule.note),
        _ => rule.note.to_owned(),
    };
    Ok(Row { subject, standing, note, shown, source: Source::Admission })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_its_text_its_kind_and_its_rows() {
        let text = "# Lists\n> Three.\n@fields List{Jobs,Tasks}Response\n\nkind | honoured | Its name. | a; b::c\n";
        let sections = parse(text).expect("it is one");
        let [section] = &sections[..] else { panic!("{sections:?}") };
        assert_eq!(section.intro, ["Three."]);
        assert_eq!(section.rows[0].shown, ["a", "b::c"]);
        assert_eq!(section.paths("kind"), ["ListJobsResponse.kind", "ListTasksResponse.kind"]);
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_line() {
        for bad in ["a | b", "a | maybe | c | d", "a | stored | c", "@things", "+ a | b\n= a | b"] {
            let fault = parse(&format!("# T\n{bad}\n")).expect_err(bad);
            assert!(fault.starts_with("line "), "{fault}");
        }
    }

    #[test]
    fn an_honoured_field_needs_a_test_of_its_own() {
        let every = "# All\n@fields Job\n# Run\n@fields RunJobRequest\n";
        let fault = complete(parse(every).expect("two sections")).expect_err("no test is named");
        assert!(fault.contains("Job.apiVersion"), "{fault}");
    }
}
