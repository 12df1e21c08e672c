//! `docs/security.md`: every promise in its tables names tests that are there.

use super::proofs::Proofs;

pub(super) const DOCUMENT: &str = "docs/security.md";

/// What is wrong with the tables of `text`: the last cell of a row has the names of tests, each in backticks.
pub(super) fn faults(text: &str, proofs: &Proofs) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter(|row| *row != "Promise | Shown by")
        .flat_map(|row| {
            let (promise, shown) = row.rsplit_once(" | ").unwrap_or((row, ""));
            let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
            let none = names.is_empty().then(|| format!("{promise}: no test shows it"));
            let gone = names
                .into_iter()
                .filter_map(|name| proofs.find(name).err())
                .map(move |why| format!("{promise}: {why}"));
            none.into_iter().chain(gone).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_names_tests_that_are_there() {
        let proofs = Proofs::of("a.rs", "#[test]\nfn it_holds() {\n}\n");
        let faults = |row: &str| {
            let table = format!("| Promise | Shown by |\n|---|---|\n{row}\n\n- `not_a_test` | x\n");
            faults(&table, &proofs)
        };
        assert_eq!(faults("| Good. | `it_holds` |"), Vec::<String>::new());
        assert_eq!(faults("| Bad. | `it_held`, `it_holds` |"), ["Bad.: no test is called it_held"]);
        assert_eq!(faults("| Bad. | trust me |"), ["Bad.: no test shows it"]);
    }
}
