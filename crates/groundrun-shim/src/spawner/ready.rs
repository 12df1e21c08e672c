//! What the spawner keeps ready for starts: the filter, a user namespace per id range, an id-mapped mount per layer.

use std::{
    num::NonZeroUsize,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::PathBuf,
};

use super::{LayerMounts, SpawnerConfig};
use crate::{
    enter::{Hold, Ids},
    protocol::{Launch, Root},
    sandbox::{self, Failure, Layers, OomScore, Step, Tools},
    seccomp::{self, Instruction},
};

/// All that is ready.
#[derive(Debug)]
pub(super) struct Ready {
    filter: Vec<Instruction>,
    user_namespaces: Recent<u32, OwnedFd>,
    layers: Recent<LayerKey, ReadyLayer>,
    takes_ready_layers: bool,
    oom_score: OomScore,
    ids: Ids,
    hold: Option<Hold>,
}

/// A layer shown through one id map. Device and inode, since a path may come back with another layer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LayerKey {
    id_base: u32,
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// A layer's detached mount, which is taken down when the last descriptor of `mount` is closed, and its directory as overlayfs takes it.
#[derive(Debug)]
struct ReadyLayer {
    mount: OwnedFd,
    directory: OwnedFd,
}

impl Ready {
    pub(super) fn new(config: SpawnerConfig, ids: Ids, hold: Option<Hold>) -> Self {
        Self {
            filter: seccomp::filter(),
            user_namespaces: Recent::new(config.id_ranges),
            layers: Recent::new(config.layers),
            takes_ready_layers: match config.layer_mounts {
                LayerMounts::Ready => sandbox::takes_ready_layers(),
                LayerMounts::EachTime => false,
            },
            oom_score: protect_from_oom(),
            ids,
            hold,
        }
    }

    /// What the shim of `launch` needs, made now as far as it is not ready.
    pub(super) fn tools_for(&mut self, launch: &Launch) -> Result<Tools<'_>, Failure> {
        let id_base = launch.id_base;
        self.user_namespaces.ensure(&id_base, || user_namespace(id_base, self.ids.count()))?;
        let keys: Vec<Vec<LayerKey>> = match self.takes_ready_layers {
            true => {
                let keys = launch.containers.iter();
                keys.map(|container| self.ensure_layers(id_base, &container.root))
                    .collect::<Result<_, _>>()?
            }
            false => Vec::new(),
        };
        let lost = || Failure::ours("more layers than the spawner may keep ready");
        let user_namespace = self.user_namespaces.get(&id_base).ok_or_else(lost)?.as_fd();
        let layers = match self.takes_ready_layers {
            true => keys
                .iter()
                .map(|keys| self.ready_layers(keys).ok_or_else(lost))
                .collect::<Result<_, _>>()?,
            false => {
                let map = self.maps_layers().then_some(user_namespace);
                launch.containers.iter().map(|_| Layers::ByPath(map)).collect()
            }
        };
        Ok(Tools {
            filter: &self.filter,
            user_namespace,
            layers,
            oom_score: self.oom_score,
            ids: self.ids,
            hold: self.hold.as_ref().map(AsFd::as_fd),
        })
    }

    /// An ordinary user may not: its layers are unpacked with the ids that they are to show.
    fn maps_layers(&self) -> bool {
        !self.ids.are_a_users()
    }

    fn ready_layers(&self, keys: &[LayerKey]) -> Option<Layers<'_>> {
        let found = keys.iter().map(|key| {
            self.layers.get(key).map(|ReadyLayer { mount, directory }| sandbox::ReadyLayer {
                mount: mount.as_fd(),
                directory: directory.as_fd(),
            })
        });
        found.collect::<Option<_>>().map(Layers::Ready)
    }

    fn ensure_layers(&mut self, id_base: u32, root: &Root) -> Result<Vec<LayerKey>, Failure> {
        let namespace = self.user_namespaces.get(&id_base);
        let namespace = namespace.ok_or_else(|| Failure::ours("no user namespace is ready"))?;
        let map = self.maps_layers().then_some(namespace.as_fd());
        let mut keys = Vec::with_capacity(root.layers.len());
        for path in &root.layers {
            let seen =
                std::fs::metadata(path).ours(format_args!("look at layer {}", path.display()))?;
            let (device, inode) = (seen.dev(), seen.ino());
            let key = LayerKey { id_base, path: path.clone(), device, inode };
            self.layers.ensure(&key, || {
                let mount = sandbox::layer_mount(path, map)?;
                let directory = sandbox::open_ready(&mount).ours("open a layer")?;
                Ok::<_, Failure>(ReadyLayer { mount, directory })
            })?;
            keys.push(key);
        }
        Ok(keys)
    }
}

/// What was used last, at most so many.
#[derive(Debug)]
struct Recent<K, V> {
    /// The last used one is last.
    entries: Vec<(K, V)>,
    entries_max: NonZeroUsize,
}

impl<K: Clone + PartialEq, V> Recent<K, V> {
    fn new(entries_max: NonZeroUsize) -> Self {
        Self { entries: Vec::new(), entries_max }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Makes it unless it is there, and marks it used; the one not used for longest makes room.
    fn ensure<E>(&mut self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<(), E> {
        let entry = match self.entries.iter().rposition(|(known, _)| known == key) {
            Some(at) => self.entries.remove(at),
            None => (key.clone(), make()?),
        };
        if self.entries.len() == self.entries_max.get() {
            self.entries.remove(0);
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// A user namespace whose 0..count are `id_base..` here.
fn user_namespace(id_base: u32, count: u32) -> Result<OwnedFd, Failure> {
    if id_base.checked_add(count).is_none() {
        return Err(Failure::ours(format!("make a user namespace: no {count} ids from {id_base}")));
    }
    let map = [(0, id_base, count)];
    sandbox::user_namespace(&map, &map)
}

/// Asks not to be killed for a task's memory. The machine may refuse: it is a courtesy.
fn protect_from_oom() -> OomScore {
    const PATH: &str = "/proc/self/oom_score_adj";
    let score = || std::fs::read_to_string(PATH).ok()?.trim().parse().ok();
    let before = score().unwrap_or(0);
    let _ = std::fs::write(PATH, "-999");
    OomScore::of(before, score().unwrap_or(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let mut recent = Recent::new(NonZeroUsize::new(2).expect("2 is not zero"));
        let make = |value: u32| move || Ok::<_, ()>(value);
        assert_eq!(recent.ensure(&"a", make(1)), Ok(()));
        assert_eq!(recent.ensure(&"b", make(2)), Ok(()));
        assert_eq!(recent.ensure(&"a", make(9)), Ok(()));
        assert_eq!(recent.ensure(&"c", make(3)), Ok(()));
        assert_eq!(["a", "b", "c"].map(|key| recent.get(&key).copied()), [Some(1), None, Some(3)]);
    }
}
