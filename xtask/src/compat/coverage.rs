//! Nothing is left out: every field that the API has, every route, every parameter; and nothing is there that is not.

use std::collections::BTreeSet;

use groundrun_api::check::{Kind as Type, Schema};

use super::{
    code,
    proofs::Proofs,
    rows::{GENERAL, Kind, Row, Section, Source, Standing},
};

/// What requests and answers are made of.
pub(super) const MESSAGES: [&str; 13] = [
    "Job",
    "RunJobRequest",
    "Execution",
    "CancelExecutionRequest",
    "Task",
    "ListJobsResponse",
    "ListExecutionsResponse",
    "ListTasksResponse",
    "ListLocationsResponse",
    "SetIamPolicyRequest",
    "Policy",
    "TestIamPermissionsRequest",
    "TestIamPermissionsResponse",
];

/// The answer of a deletion; of the rest of its fields only errors in Kubernetes' form would make use.
pub(super) const DELETED: &str = "Status";

const ROUTER: &str = "crates/groundrun-server/src/router.rs";
const SERVER: &str = "crates/groundrun-server/src/";
const QUERY: &str = "crates/groundrun-server/src/query.rs";

/// Everything that is missing, false or said twice.
pub(super) fn faults(sections: &[Section], proofs: &Proofs) -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    for section in sections {
        for row in section.rows.iter().filter(|row| row.shown.is_empty()) {
            faults.push(format!("{}: no test shows it", row.subject));
        }
    }
    mentions(sections, proofs, &mut faults);
    fields(sections, &mut faults);
    routes(&rows_of(sections, &Kind::Routes), &code::read(ROUTER)?, &mut faults);
    parameters(&rows_of(sections, &Kind::Parameters), &mut faults)?;
    commands(&rows_of(sections, &Kind::Commands), proofs, &mut faults);
    Ok(faults)
}

/// What is said to be shown of a field, a parameter or a refused path is shown by a test that speaks of it.
fn mentions(sections: &[Section], proofs: &Proofs, faults: &mut Vec<String>) {
    for section in sections {
        for row in section.rows.iter().filter(|row| row.standing != Standing::Decided) {
            let word = match section.kind {
                Kind::Fields(_) => last_name(&row.subject),
                Kind::Parameters => &row.subject,
                Kind::Routes => match row.subject.strip_prefix("ANY ") {
                    Some(prefix) => prefix,
                    None => continue,
                },
                Kind::Commands | Kind::Points => continue,
            };
            let snake = snake(word);
            let speaks = |name: &String| {
                let general =
                    GENERAL.contains(&name.as_str()) && row.standing != Standing::Honoured;
                general
                    || proofs
                        .find(name)
                        .is_ok_and(|proof| proof.body.contains(word) || proof.body.contains(&snake))
            };
            if !row.shown.iter().any(speaks) {
                faults.push(format!(
                    "{} {}: none of its tests speaks of it",
                    section.title, row.subject
                ));
            }
        }
    }
}

/// `status` of `Policy.bindings[].status.*`.
fn last_name(subject: &str) -> &str {
    let field = subject.split("[\"").next().unwrap_or_default();
    let field = field.trim_end_matches(".*").trim_end_matches("[]");
    field.rsplit('.').next().unwrap_or(field)
}

/// `task_count` of `taskCount`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn rows_of<'a>(sections: &'a [Section], kind: &Kind) -> Vec<&'a Row> {
    sections
        .iter()
        .filter(|section| section.kind == *kind)
        .flat_map(|section| &section.rows)
        .collect()
}

/// Every leaf of `message`, as paths.
fn leaves(path: &str, kind: &Type, out: &mut BTreeSet<String>) {
    match kind {
        Type::Message(inner) => {
            for field in Schema::v1().fields(inner) {
                leaves(&format!("{path}.{}", field.name), &field.kind, out);
            }
        }
        Type::List(item) if matches!(**item, Type::Message(_)) => {
            leaves(&format!("{path}[]"), item, out);
        }
        _ => {
            out.insert(path.to_owned());
        }
    }
}

fn fields(sections: &[Section], faults: &mut Vec<String>) {
    let mut wanted = BTreeSet::new();
    for message in MESSAGES.into_iter().chain([DELETED]) {
        leaves(message, &Type::Message(message.to_owned()), &mut wanted);
    }
    let mut seen = BTreeSet::new();
    let mut covered = BTreeSet::new();
    for section in sections {
        for row in &section.rows {
            for path in section.paths(&row.subject) {
                let of: Vec<&String> =
                    wanted.iter().filter(|leaf| covers(row, &path, leaf)).collect();
                // That a client's status is ignored says nothing of the status that it is shown.
                let says_all = !(row.source == Source::Admission && path == "Job.status");
                if of.is_empty() {
                    faults.push(format!("{path}: the API has no such field"));
                }
                if says_all {
                    covered.extend(of);
                }
                if !seen.insert(path.clone()) {
                    faults.push(format!("{path}: has two rows"));
                }
            }
        }
    }
    faults.extend(
        wanted
            .difference(&covered.into_iter().cloned().collect())
            .map(|leaf| format!("{leaf}: has no row")),
    );
}

/// A row says something of its own field; where it is refused or ignored, or ends with `.*`, of all below.
fn covers(row: &Row, path: &str, leaf: &str) -> bool {
    let field = path.split("[\"").next().unwrap_or_default();
    let (field, all) = match field.strip_suffix(".*") {
        Some(field) => (field, true),
        None => (
            field,
            row.source == Source::Admission
                && matches!(row.standing, Standing::Refused | Standing::Ignored),
        ),
    };
    leaf.strip_prefix(field)
        .is_some_and(|rest| rest.is_empty() || (all && rest.starts_with(['.', '['])))
}

/// `GET /path` of everything that the router answers, and `ANY /prefix` of what it refuses by name.
fn served(router: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for route in code::between(router, ".route(\"", "))\n") {
        let (path, handlers) = route.split_once('"').unwrap_or((route, ""));
        for method in ["get", "post", "put", "delete", "patch"] {
            let mark = format!("{method}(");
            let Some((_, handler)) = handlers.split_once(&mark) else { continue };
            let handler = handler.split(')').next().unwrap_or_default();
            let body = code::function(router, handler);
            let verbs: Vec<&str> = body
                .into_iter()
                .flat_map(|body| code::between(body, "Some((", ")"))
                .flat_map(code::quoted)
                .collect();
            let method = method.to_uppercase();
            if verbs.is_empty() || body.is_some_and(|body| body.contains("None =>")) {
                all.insert(format!("{method} {path}"));
            }
            all.extend(verbs.iter().map(|verb| format!("{method} {path}:{verb}")));
        }
    }
    let unknown = code::function(router, "unknown").unwrap_or_default();
    let prefixes = code::quoted(unknown).filter(|text| text.starts_with('/'));
    all.extend(
        prefixes.filter(|text| !text.starts_with("/apis/run.")).map(|text| format!("ANY {text}")),
    );
    all
}

fn routes(rows: &[&Row], router: &str, faults: &mut Vec<String>) {
    let served = served(router);
    let said: BTreeSet<String> = rows.iter().map(|row| row.subject.clone()).collect();
    faults.extend(served.difference(&said).map(|route| format!("{route}: has no row")));
    let unserved = said.difference(&served).filter(|route| !route.starts_with("PATCH "));
    faults.extend(unserved.map(|route| format!("{route}: is not a route")));
    for row in rows {
        let not_here = row.subject.starts_with("PATCH ") && !served.contains(&row.subject);
        let refused = row.subject.starts_with("ANY ") || not_here;
        if refused != (row.standing == Standing::Refused) {
            faults.push(format!("{}: is not {}", row.subject, row.standing.word()));
        }
    }
}

fn parameters(rows: &[&Row], faults: &mut Vec<String>) -> Result<(), String> {
    let mut taken: BTreeSet<(String, Standing)> = BTreeSet::new();
    for file in code::files(SERVER, ".rs")? {
        if file.contains("/tests/") {
            continue;
        }
        let text = code::read(&file)?;
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (how, standing) in [
            ("Taken(\"", Standing::Honoured),
            ("Ignored(\"", Standing::Ignored),
            ("Unsupported(\"", Standing::Refused),
        ] {
            taken.extend(code::between(text, how, "\"").map(|name| (name.to_owned(), standing)));
        }
    }
    let query = code::read(QUERY)?;
    let ignored = code::between(&query, "const IGNORED: &[&str] = &[", "];").flat_map(code::quoted);
    taken.extend(ignored.map(|name| (name.to_owned(), Standing::Ignored)));
    let standard = code::between(&query, "matches!(name, ", ")").flat_map(code::quoted);
    let standard: BTreeSet<String> = standard.map(str::to_owned).collect();
    for (name, standing) in &taken {
        if !rows.iter().any(|row| row.subject == *name && row.standing == *standing) {
            faults.push(format!("parameter {name}: has no row that says {}", standing.word()));
        }
    }
    for name in &standard {
        if !rows.iter().any(|row| row.subject == *name) {
            faults.push(format!("parameter {name}: has no row"));
        }
    }
    for row in rows {
        let known =
            standard.contains(&row.subject) || taken.contains(&(row.subject.clone(), row.standing));
        if !known {
            faults.push(format!("parameter {}: nothing takes it so", row.subject));
        }
    }
    Ok(())
}

/// A test of a command has its words: `gcloud run jobs create` is `"run", "jobs", "create"`.
fn commands(rows: &[&Row], proofs: &Proofs, faults: &mut Vec<String>) {
    for row in rows {
        let words = row.subject.split(' ').skip(1);
        let words: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
        let words = words.join(", ");
        let has = |name: &String| proofs.find(name).is_ok_and(|proof| proof.body.contains(&words));
        if !row.shown.iter().any(has) {
            faults.push(format!("{}: none of its tests gives that command", row.subject));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rows, *};

    const ROUTES: &str = r#"
        .route("/a", get(a::list).post(a::create))
        .route("/a/{a}",
            get(read).post(verb))
        .fallback(unknown)

async fn read() {
    match split(&a) {
        None => get(a),
        Some((a, "look")) => look(a),
    }
}

async fn verb() {
    match split(&a) {
        Some((a, "run")) => run(a),
        Some((a, "stop")) => stop(a),
        _ => none(),
    }
}

async fn unknown() {
    let not_here = [("/v2/", "Not here.")];
}
"#;

    #[test]
    fn routes_are_read_with_their_methods_and_verbs() {
        let all: Vec<String> = served(ROUTES).into_iter().collect();
        assert_eq!(
            all,
            [
                "ANY /v2/",
                "GET /a",
                "GET /a/{a}",
                "GET /a/{a}:look",
                "POST /a",
                "POST /a/{a}:run",
                "POST /a/{a}:stop"
            ]
        );
    }

    #[test]
    fn a_route_without_a_row_and_a_row_without_a_route_are_faults() {
        let row = |subject: &str| Row {
            subject: subject.to_owned(),
            standing: Standing::Honoured,
            note: String::new(),
            shown: Vec::new(),
            source: Source::Hand,
        };
        let rows =
            ["GET /a", "POST /a", "GET /a/{a}", "POST /a/{a}:run", "POST /a/{a}:fly"].map(row);
        let mut faults = Vec::new();
        routes(&rows.iter().collect::<Vec<_>>(), ROUTES, &mut faults);
        faults.sort();
        assert_eq!(
            faults,
            [
                "ANY /v2/: has no row",
                "GET /a/{a}:look: has no row",
                "POST /a/{a}:fly: is not a route",
                "POST /a/{a}:stop: has no row"
            ]
        );
    }

    #[test]
    fn a_row_that_no_test_speaks_of_is_a_fault() {
        let text = "# T\n@fields Task.status\nstartTime | honoured | When. | begun; ended\n";
        let section = rows::parse(text).expect("a section");
        let faults = |body: &str| {
            let mut faults = Vec::new();
            let source = format!("#[test]\nfn ended() {{\n    {body}\n}}\n");
            mentions(&section, &Proofs::of("a.rs", &source), &mut faults);
            faults.len()
        };
        assert_eq!(faults("assert!(shown.start_time)"), 0);
        assert_eq!(faults("assert!(shown[\"startTime\"])"), 0);
        assert_eq!(faults("assert!(shown)"), 1);
    }

    #[test]
    fn a_path_with_a_star_covers_what_is_below_it() {
        let row = Row {
            subject: String::new(),
            standing: Standing::Honoured,
            note: String::new(),
            shown: Vec::new(),
            source: Source::Hand,
        };
        assert!(covers(&row, "Task.spec.*", "Task.spec.maxRetries"));
        assert!(!covers(&row, "Task.spec", "Task.spec.maxRetries"));
        assert!(!covers(&row, "Task.spec.*", "Task.specs"));
        assert!(covers(&row, "Task.labels[\"k\"]", "Task.labels"));
    }
}
