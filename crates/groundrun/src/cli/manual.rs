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
