//! `groundrun doctor`: what this machine can do, what is missing, and the exact command that mends it, on one page.

use clap::Args;
use groundrun_host::check::{Row, State, report};
use serde_json::{Value, json};

use super::{
    GroundArgs, OutputArgs,
    exit::{Exit, Stop},
    output,
};
use crate::{
    config::{File, Ground},
    prepare::intent,
    world,
};

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    ground: GroundArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Ends with 3 when tasks cannot run here.
pub(crate) fn main(args: &DoctorArgs) -> Result<Exit, Stop> {
    let file = File::load(args.ground.config.as_deref())?;
    let ground = Ground::resolve(&args.ground, &file, &world::surroundings())?;
    let rows = report(&ground.data_dir, intent(&ground));
    if args.output.json {
        output::print_json(&as_json(&rows))?;
    } else {
        output::print(&page(&rows))?;
    }
    Ok(if count(&rows, State::Missing) == 0 { Exit::Succeeded } else { Exit::CannotRunHere })
}

fn count(rows: &[Row], state: State) -> usize {
    rows.iter().filter(|row| row.state == state).count()
}

/// One line per row; what to do stands on a line of its own, to be copied.
fn page(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.topic.len()).max().unwrap_or_default();
    let mut page = String::new();
    for Row { topic, state, finding, remedy } in rows {
        let word = word(*state);
        page.push_str(&format!("{word:<8} {topic:<width$}  {finding}\n"));
        if let Some(remedy) = remedy {
            page.push_str(&format!("{:<8} {:<width$}  → {remedy}\n", "", ""));
        }
    }
    let (missing, less) = (count(rows, State::Missing), count(rows, State::Less));
    page.push_str(&match (missing, less) {
        (0, 0) => "\nJobs can run here.\n".to_owned(),
        (0, less) => format!("\nJobs can run here; {less} could be better.\n"),
        (missing, _) => format!("\nJobs cannot run here: {missing} missing.\n"),
    });
    page
}

fn word(state: State) -> &'static str {
    match state {
        State::Good => "ok",
        State::Less => "less",
        State::Missing => "missing",
    }
}

fn as_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "topic": row.topic,
            "state": word(row.state),
            "finding": row.finding,
            "remedy": row.remedy,
        })
    };
    json!({
        "canRun": count(rows, State::Missing) == 0,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(worst: State) -> Vec<Row> {
        let row = |topic, state, finding: &str, remedy: Option<&str>| Row {
            topic,
            state,
            finding: finding.into(),
            remedy: remedy.map(Into::into),
        };
        vec![
            row("kernel", State::Good, "Linux 6.1", None),
            row("user namespaces", worst, "switched off", Some("run `x`")),
        ]
    }

    #[test]
    fn a_page_says_what_to_do_below_what_was_found() {
        let expected = "\
ok       kernel           Linux 6.1
missing  user namespaces  switched off
                          → run `x`

Jobs cannot run here: 1 missing.
";
        assert_eq!(page(&rows(State::Missing)), expected);
        assert!(page(&rows(State::Less)).ends_with("Jobs can run here; 1 could be better.\n"));
    }

    #[test]
    fn programs_are_told_the_same() {
        let told = as_json(&rows(State::Missing));
        assert_eq!(told["canRun"], false);
        assert_eq!(told["rows"][1]["state"], "missing");
        assert_eq!(told["rows"][1]["remedy"], "run `x`");
        assert_eq!(told["rows"][0]["remedy"], Value::Null);
    }
}
