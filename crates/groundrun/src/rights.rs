//! With whose rights the server runs: the machine's root, or an ordinary user in namespaces of its own. Everything else is
//! the same.

use std::{io, os::fd::AsFd, path::Path};

use groundrun_host::network::Router;
use groundrun_image::Owners;
use groundrun_shim::{
    Spawner, SpawnerConfig, SpawnerHandle,
    enter::{self, Entered, Marks},
};

use crate::{
    cli::{WritableLayer, exit::Stop},
    world,
};

/// What is made before the first thread.
pub(crate) struct Rights {
    pub(crate) spawner: SpawnerHandle,
    /// An ordinary user's. To be kept as long as the server lives.
    entered: Option<Entered>,
}

impl Rights {
    /// Enters where that is needed, and forks the spawner: it forks a shim for each attempt. `data_dir` is where the next
    /// server will look for what this one leaves running.
    pub(crate) fn take(data_dir: Option<&Path>) -> Result<Self, Stop> {
        let entered = match world::surroundings().root {
            true => None,
            false => Some(
                enter::enter(data_dir)
                    .map_err(|fault| Stop::cannot_run_here(vec![fault.to_string()]))?,
            ),
        };
        let config = SpawnerConfig::default();
        let spawner = match &entered {
            None => Spawner::fork(config),
            Some(entered) => Spawner::fork_in(entered, config),
        };
        let spawner = spawner.map_err(|e| {
            Stop::cannot_run_here(vec![format!("start the spawner: {}", groundrun_core::chain(&e))])
        })?;
        Ok(Self { spawner, entered })
    }

    /// Whether they are an ordinary user's.
    pub(crate) fn are_a_users(&self) -> bool {
        self.entered.is_some()
    }

    /// Why tasks have fewer ids than a container should, with what mends it.
    pub(crate) fn lacking(&self) -> Option<&str> {
        self.entered.as_ref()?.lacking.as_deref()
    }

    /// To whom the files of images belong on disk.
    pub(crate) fn owners(&self) -> Owners {
        match &self.entered {
            Some(Entered { ids, map, .. }) => Owners::Shifted {
                base: ids.base().unwrap_or_default(),
                count: ids.count(),
                map: map.clone(),
            },
            None => Owners::OfTheImage,
        }
    }

    /// First of the ids that containers get, where they are not the machine's.
    pub(crate) fn id_base(&self) -> Option<u32> {
        self.entered.as_ref()?.ids.base()
    }

    /// Where the private network of tasks is made, for an ordinary user.
    pub(crate) fn router(&self) -> io::Result<Option<Router>> {
        let Some(Entered { network: Some(network), hold, .. }) = &self.entered else {
            return Ok(None);
        };
        let hold = hold.as_fd().try_clone_to_owned()?;
        Ok(Some(Router { namespace: network.try_clone()?, hold }))
    }

    /// Where the writable layers of tasks can be, if `wanted` is what was asked for, and why not there.
    pub(crate) fn writable_layer(
        &self,
        wanted: WritableLayer,
        data_dir: &Path,
    ) -> Result<(WritableLayer, Option<&'static str>), Stop> {
        if self.entered.is_none() {
            return Ok((wanted, None));
        }
        match enter::marks(data_dir).map_err(|e| {
            Stop::failed(format!("look at the data directory {}: {e}", data_dir.display()))
        })? {
            Marks { on_disk: false, .. } => Err(Stop::cannot_run_here(vec![format!(
                "the file system of {} keeps no attributes of ordinary users, as layers of images need: give a directory on ext4, xfs or btrfs with --data-dir",
                data_dir.display()
            )])),
            Marks { in_memory: false, .. } if wanted == WritableLayer::Memory => Ok((
                WritableLayer::Disk,
                Some(
                    "this kernel keeps no attributes of ordinary users in memory (Linux 6.6 does): the writable layers of tasks are in the data directory, and do not count as their memory",
                ),
            )),
            Marks { .. } => Ok((wanted, None)),
        }
    }
}
