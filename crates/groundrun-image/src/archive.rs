//! `docker-archive:PATH[:reference]`: an image in what `docker save` writes, also gzipped.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use serde::Deserialize;

use crate::{
    digest::Digest,
    fault::Fault,
    import::{LayerSource, Recipe, RecipeLayer, Section},
    layout,
    manifest::{self, Platform},
    reference::Reference,
    settings::Limits,
    unpack::{Member, Members, UnpackFault},
};

/// Members of the archive: three per layer in the old form, a few more in the new.
const MEMBERS_MAX: usize = 10_000;

/// An archive opened for reading, and a name for it that changes when it does.
pub(crate) struct Archive {
    file: File,
    size: u64,
    /// Device, inode, size and time of change: the same means the same content.
    pub(crate) identity: String,
}

/// Opens it.
pub(crate) fn open(path: &Path) -> Result<Archive, Fault> {
    let about = |err: io::Error| {
        let message = format!("docker archive {}: {err}", path.display());
        match err.kind() {
            io::ErrorKind::NotFound => Fault::missing(message),
            io::ErrorKind::PermissionDenied => Fault::denied(message),
            _ => Fault::unusable(message),
        }
    };
    let file = layout::open(path).map_err(about)?;
    let meta = file.metadata().map_err(about)?;
    let identity = format!(
        "{}-{}-{}-{}.{:09}",
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.ctime(),
        meta.ctime_nsec()
    );
    Ok(Archive { size: meta.size(), file, identity })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// All that is needed to import the image. `plain` is an empty file, filled if the archive is compressed. The digest is
/// that of the configuration, Docker's image id: the archive holds no manifest.
pub(crate) fn recipe(
    archive: Archive,
    image: Option<&str>,
    plain: &File,
    limits: &Limits,
) -> Result<Recipe, Fault> {
    let archive = Contents::read(archive, plain, limits)?;
    let saved: Vec<Saved> = serde_json::from_slice(&archive.small("manifest.json", limits)?)
        .map_err(|err| Fault::unusable(format!("manifest.json of the docker archive: {err}")))?;
    let saved = pick(&saved, image)?;
    let configuration = archive.small(&saved.config, limits)?;
    let digest = Digest::of(&configuration);
    let configuration = manifest::configuration(&configuration, &Platform::here())?;
    let mut layers = Vec::new();
    for (name, diff_id) in saved.layers.iter().zip(&configuration.diff_ids) {
        let section = archive.section(name)?;
        // The layer's own digest is nowhere; that of what it unpacks to is in the configuration.
        let source = LayerSource::Local { section, blob: None };
        layers.push(RecipeLayer { diff_id: *diff_id, source });
    }
    Recipe::checked(digest, configuration, layers, saved.layers.len(), limits)
}

fn pick<'a>(saved: &'a [Saved], image: Option<&str>) -> Result<&'a Saved, Fault> {
    let tags = |saved: &'a Saved| saved.repo_tags.iter().flatten();
    let normal = |text: &str| text.parse::<Reference>().ok();
    let found = match (image, saved) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(image), saved) => saved.iter().find(|saved| {
            tags(saved)
                .any(|tag| tag == image || normal(tag).is_some_and(|t| Some(t) == normal(image)))
        }),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = saved.iter().flat_map(tags).map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let wanted = image.unwrap_or("the only image");
        Fault::missing(format!(
            "the docker archive does not hold {wanted}; its named images: {names}; say which as docker-archive:PATH:NAME"
        ))
    })
}

/// Where each member of the archive is.
struct Contents {
    whole: Section,
    members: HashMap<String, Place>,
}

enum Place {
    File {
        offset: u64,
        size: u64,
    },
    /// `docker save` once wrote a layer that occurs twice as a link to the other.
    Link(String),
}

impl Contents {
    fn read(archive: Archive, plain: &File, limits: &Limits) -> Result<Self, Fault> {
        let whole = match compressed(&archive)? {
            false => Section::whole(archive.file, archive.size),
            true => inflate(archive, plain, limits)?,
        };
        let mut members = HashMap::new();
        let mut walk = Members::new(whole.clone(), whole.size(), limits);
        while let Some((name, member)) = walk.next().map_err(unreadable)? {
            let place = match member {
                Member::File { offset, size } => Place::File { offset, size },
                Member::Symlink { target } => Place::Link(beside(&name, &target)),
                Member::Other => continue,
            };
            members.insert(name.trim_start_matches("./").to_owned(), place);
            if members.len() > MEMBERS_MAX {
                return Err(Fault::unusable(format!(
                    "the docker archive has more than {MEMBERS_MAX} members"
                )));
            }
        }
        Ok(Self { whole, members })
    }

    fn section(&self, name: &str) -> Result<Section, Fault> {
        let missing = || match name {
            "manifest.json" => Fault::unusable(
                "it is not what `docker save` writes: there is no manifest.json in it (an OCI archive: unpack it to a directory and use oci:DIRECTORY)",
            ),
            name => {
                Fault::unusable(format!("the docker archive is incomplete: {name:?} is not in it"))
            }
        };
        let place = match self.members.get(name).ok_or_else(missing)? {
            Place::Link(target) => self.members.get(target).ok_or_else(missing)?,
            place => place,
        };
        match *place {
            Place::File { offset, size } => Ok(self.whole.part(offset, size)),
            Place::Link(_) => Err(missing()),
        }
    }

    fn small(&self, name: &str, limits: &Limits) -> Result<Vec<u8>, Fault> {
        let mut section = self.section(name)?;
        if section.size() > limits.document_bytes {
            return Err(Fault::unusable(format!("{name:?} of the docker archive is too large")));
        }
        let mut bytes = Vec::new();
        section
            .read_to_end(&mut bytes)
            .map_err(|err| Fault::unusable(format!("{name:?} of the docker archive: {err}")))?;
        Ok(bytes)
    }
}

fn compressed(archive: &Archive) -> Result<bool, Fault> {
    let mut head = [0; 2];
    let mut section = Section::whole(
        archive.file.try_clone().map_err(|err| Fault::disk("open the docker archive", &err))?,
        archive.size,
    );
    match section.read_exact(&mut head) {
        Ok(()) => Ok(head == [0x1f, 0x8b]),
        Err(_) => Err(Fault::unusable("the docker archive is empty")),
    }
}

/// Unpacks the archive's own gzip, so that its members can be reached.
fn inflate(archive: Archive, plain: &File, limits: &Limits) -> Result<Section, Fault> {
    let mut inner = flate2::read::MultiGzDecoder::new(Section::whole(archive.file, archive.size))
        .take(limits.image_bytes + 1);
    let mut out = plain;
    let size = io::copy(&mut inner, &mut out).map_err(|err| match err.kind() {
        io::ErrorKind::StorageFull => Fault::disk("unpack the docker archive", &err),
        _ => Fault::unusable(format!("the docker archive is not readable: {err}")),
    })?;
    if size > limits.image_bytes {
        return Err(Fault::unusable(format!(
            "the docker archive unpacks to more than {} bytes, the limit of this server",
            limits.image_bytes
        )));
    }
    let file = plain.try_clone().map_err(|err| Fault::disk("unpack the docker archive", &err))?;
    Ok(Section::whole(file, size))
}

fn unreadable(fault: UnpackFault) -> Fault {
    Fault::unusable(format!("the docker archive is refused: {fault}"))
}

/// What a link in the directory of `name` points to.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_inside_the_archive() {
        assert_eq!(beside("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        assert_eq!(beside("layer.tar", "../../b"), "b");
        assert_eq!(beside("a/x", "./y"), "a/y");
    }
}
