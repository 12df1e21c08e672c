//! The secrets of a server: the key that seals them, and what tasks are given.

use std::{path::Path, sync::Arc};

use groundrun_core::port::Secrets;
use groundrun_secrets::{KeyFile, Origin, Project, Sealer, Vault};
use groundrun_server::Projects;
use groundrun_store::{Store, StoreError};

use crate::{cli::exit::Stop, config::Ground, world};

/// Below the data directory, unless the settings name another.
const KEY_FILE: &str = "secrets.key";

/// What seals secrets, and what opens them for tasks. A key of the settings that cannot be used is told now; one of the data
/// directory only where secrets are asked for, since jobs that need none run all the same.
pub(crate) fn open(
    ground: &Ground,
    data_dir: &Path,
    store: &Store,
    projects: Projects,
) -> Result<(Arc<Sealer>, Arc<dyn Secrets>), Stop> {
    let file = match &ground.secrets_key_file {
        Some(path) => KeyFile::new(path.clone(), Origin::Named),
        None => KeyFile::new(data_dir.join(KEY_FILE), Origin::MadeHere),
    };
    let sealer = Arc::new(Sealer::new(file, Arc::new(world::random)));
    let fingerprint = store.read(|view| view.secret_key()).map_err(|error: StoreError| {
        Stop::failed(format!("read the journal: {}", groundrun_core::chain(&error)))
    })?;
    let usable = match (fingerprint, &ground.secrets_key_file) {
        (Some(fingerprint), _) => sealer.key(fingerprint).map(drop),
        (None, Some(_)) => sealer.key_or_new(None).map(drop),
        (None, None) => Ok(()),
    };
    match usable {
        Err(fault) if ground.secrets_key_file.is_some() => return Err(Stop::bad_input(fault)),
        Err(fault) => tracing::error!("{fault}"),
        Ok(()) => {}
    }
    let vault = Vault::new(store.clone(), Arc::clone(&sealer), lookup(projects));
    Ok((sealer, Arc::new(vault)))
}

fn lookup(projects: Projects) -> groundrun_secrets::Projects {
    Arc::new(move |named, known| {
        let id = projects.id_of(named, || known)?;
        let number = projects.number(&id).to_string();
        Some(Project { id, number })
    })
}
