//! Completions and man pages, from the same definitions as the help.

use std::path::Path;

use clap::CommandFactory;

use super::{
    Cli,
    exit::{Exit, Stop},
    output::print,
};

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<Exit, Stop> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "groundrun", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Succeeded)
}

pub(crate) fn man(directory: &Path) -> Result<Exit, Stop> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|e| Stop::failed(format!("write man pages to {}: {e}", directory.display())))?;
    Ok(Exit::Succeeded)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::File;

    const PAGE: &str = include_str!("../../../../docs/running.md");

    /// The flags of a verb and of those below it, each with its variable.
    fn flags(verb: &clap::Command, into: &mut BTreeSet<(String, Option<String>)>) {
        let ours = |id: &str| !["help", "version"].contains(&id);
        for flag in verb.get_arguments().filter(|flag| ours(flag.get_id().as_str())) {
            let variable = flag.get_env().map(|name| name.to_string_lossy().into_owned());
            into.extend(flag.get_long().map(|long| (format!("--{long}"), variable)));
        }
        for verb in verb.get_subcommands() {
            flags(verb, into);
        }
    }

    #[test]
    fn the_page_has_every_flag_with_its_variable_and_no_other() {
        let mut all = BTreeSet::new();
        flags(&Cli::command(), &mut all);
        for (flag, variable) in &all {
            let (alone, valued) = (format!("`{flag}`"), format!("`{flag} "));
            assert!(PAGE.contains(&alone) || PAGE.contains(&valued), "{flag} is missing");
            let Some(variable) = variable else { continue };
            let row = PAGE.lines().find(|line| line.starts_with(&format!("| {alone} |")));
            let place = row.unwrap_or(PAGE);
            assert!(place.contains(&format!("`{variable}`")), "{flag}: {variable} is missing");
        }
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `--")?.split_once('`'));
        for (flag, _) in rows {
            assert!(all.iter().any(|(known, _)| *known == format!("--{flag}")), "--{flag}");
        }
    }

    #[test]
    fn the_page_has_every_key_of_the_file() {
        let error = toml::from_str::<File>("none = 1").expect_err("it is no key").to_string();
        let (_, known) = error.split_once("expected one of").expect("serde lists them");
        let keys: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(keys.len() > 15, "{error}");
        for key in keys {
            let there = ["`", "`["].iter().any(|mark| PAGE.contains(&format!("{mark}{key}")));
            assert!(there, "{key} is missing");
        }
    }
}
