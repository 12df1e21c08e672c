//! Images that the program brings along, served like any other: one layer, made of the files.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, OnceLock},
};

use tar::{EntryType, Header};

use crate::{
    digest::Digest,
    fault::Fault,
    import::{LayerSource, Recipe, RecipeLayer},
    manifest::Configuration,
    settings::{BuiltIn, Limits},
};

/// A built-in image. Its layer is made when it is first asked for.
pub(crate) struct Brought {
    image: BuiltIn,
    made: OnceLock<Result<Made, Fault>>,
}

struct Made {
    archive: Arc<Vec<u8>>,
    digest: Digest,
    configuration: Configuration,
}

impl Brought {
    pub(crate) fn new(image: BuiltIn) -> Self {
        Self { image, made: OnceLock::new() }
    }

    /// The same content always has the same digest.
    pub(crate) fn digest(&self) -> Result<Digest, Fault> {
        self.made().map(|made| made.digest)
    }

    /// All that is needed to import it.
    pub(crate) fn recipe(&self, limits: &Limits) -> Result<Recipe, Fault> {
        let made = self.made()?;
        let [diff_id] = made.configuration.diff_ids[..] else {
            unreachable!("made with one layer")
        };
        let source = LayerSource::Memory(Arc::clone(&made.archive));
        let layers = vec![RecipeLayer { diff_id, source }];
        Recipe::checked(made.digest, made.configuration.clone(), layers, 1, limits)
    }

    fn made(&self) -> Result<&Made, Fault> {
        self.made.get_or_init(|| make(&self.image)).as_ref().map_err(Clone::clone)
    }
}

fn make(image: &BuiltIn) -> Result<Made, Fault> {
    let archive = archive(image).map_err(|err| {
        Fault::unusable(format!("the built-in image {} cannot be made: {err}", image.reference))
    })?;
    let diff_id = Digest::of(&archive);
    let run = image.config.clone();
    // Stands for the manifest: it names all that the image is.
    let digest = Digest::of(format!("{} {diff_id} {run:?}", image.reference).as_bytes());
    let configuration = Configuration { diff_ids: vec![diff_id], run };
    Ok(Made { archive: Arc::new(archive), digest, configuration })
}

fn archive(image: &BuiltIn) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let directories: BTreeSet<&Path> = image
        .files
        .iter()
        .flat_map(|file| Path::new(&file.path).ancestors().skip(1))
        .filter(|directory| !directory.as_os_str().is_empty())
        .collect();
    // A set of paths is in the order in which directories have to be made.
    for directory in directories {
        archive.append_data(&mut header(EntryType::Directory, 0o755, 0), directory, &[][..])?;
    }
    for file in &image.files {
        let size = file.bytes.len() as u64;
        archive.append_data(
            &mut header(EntryType::Regular, file.mode, size),
            &file.path,
            &*file.bytes,
        )?;
    }
    archive.into_inner()
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
