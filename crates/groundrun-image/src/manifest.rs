//! Reads manifests, indexes and configurations: OCI, and Docker V2 schema 2. Decides which of an index is meant.
//!
//! Only what is needed is read; what could be read in two ways is refused.

use std::fmt;

use groundrun_core::process::ImageConfig;
use serde::Deserialize;

use crate::{digest::Digest, fault::Fault};

/// What is asked for when a manifest is fetched, most wanted first.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A checked manifest document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Document {
    /// Of one image.
    Image(Manifest),
    /// Of images for several platforms.
    Index(Vec<Descriptor>),
}

/// The manifest of one image. Layers from the lowest up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<Blob>,
}

/// Content by its digest and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// A descriptor as written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Descriptor {
    pub(crate) fn blob(&self) -> Result<Blob, Fault> {
        let digest = self.digest.parse().map_err(|err| Fault::unusable(format!("{err}")))?;
        Ok(Blob { digest, size: self.size })
    }
}

/// Operating system and processor, in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// What runs here.
    pub(crate) fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    fn runs(&self, image: &Self) -> bool {
        self.os == image.os && self.architecture == image.architecture
    }

    /// amd64 v2 and up, and arm64 v9, need processors that this machine may not have.
    fn is_baseline(&self) -> bool {
        matches!(self.variant.as_deref(), None | Some("" | "v1" | "v8"))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .filter(|v| !v.is_empty())
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: i64,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Reads a manifest or an index.
pub(crate) fn parse(bytes: &[u8]) -> Result<Document, Fault> {
    let raw: Raw = serde_json::from_slice(bytes)
        .map_err(|err| Fault::unusable(format!("its manifest cannot be read: {err}")))?;
    if raw.schema_version == 1 || raw.fs_layers.is_some() {
        return Err(Fault::unusable(
            "its manifest is Docker's schema 1, which no longer carries verifiable layers: push the image again with a current docker",
        ));
    }
    match (raw.manifests, raw.config, raw.layers) {
        (Some(manifests), None, None) => Ok(Document::Index(manifests)),
        (None, Some(config), Some(layers)) => manifest(&config, &layers).map(Document::Image),
        (Some(_), _, _) => Err(Fault::unusable(
            "its manifest is both an index and an image: which one is meant depends on the reader",
        )),
        _ => Err(Fault::unusable("its manifest has neither config and layers nor manifests")),
    }
}

fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Result<Manifest, Fault> {
    if !CONFIG_TYPES.contains(&config.media_type.as_str()) {
        return Err(Fault::unusable(format!(
            "it is not a container image: its configuration is of type {:?}",
            config.media_type
        )));
    }
    let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
    Ok(Manifest { config: config.blob()?, layers })
}

fn layer(descriptor: &Descriptor) -> Result<Blob, Fault> {
    let kind = descriptor.media_type.as_str();
    if kind.contains("nondistributable") || kind.contains("foreign") {
        return Err(Fault::unusable(format!(
            "layer {} is of type {kind}: such layers are kept by their vendor and never in a registry",
            descriptor.digest
        )));
    }
    if !LAYER_TYPES.contains(&kind) {
        return Err(Fault::unusable(format!(
            "layer {} is of type {kind:?}, which is not supported: tar, tar+gzip and tar+zstd are",
            descriptor.digest
        )));
    }
    descriptor.blob()
}

/// Chooses the image for `here` from an index: the first baseline variant, else the first.
pub(crate) fn choose<'a>(
    index: &'a [Descriptor],
    here: &Platform,
) -> Result<&'a Descriptor, Fault> {
    let fitting = || {
        index.iter().filter(|entry| entry.platform.as_ref().is_some_and(|image| here.runs(image)))
    };
    fitting()
        .find(|entry| entry.platform.as_ref().is_some_and(Platform::is_baseline))
        .or_else(|| fitting().next())
        .ok_or_else(|| wrong_platform(&there_is(index), here))
}

fn there_is(index: &[Descriptor]) -> String {
    let mut known: Vec<String> = index
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(Platform::to_string)
        .collect();
    known.dedup();
    if known.is_empty() { "no named platform".to_owned() } else { known.join(", ") }
}

fn wrong_platform(there_is: &str, here: &Platform) -> Fault {
    Fault::unusable(format!(
        "it is for {there_is}, this machine is {here}: build or push it for {here}"
    ))
}

/// What is needed of an image's configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Configuration {
    /// Digests of the layers unpacked, from the lowest up.
    pub(crate) diff_ids: Vec<Digest>,
    /// What runs.
    pub(crate) run: ImageConfig,
}

#[derive(Deserialize)]
struct RawConfiguration {
    #[serde(flatten)]
    platform: Platform,
    rootfs: RawRootfs,
    config: Option<RawRun>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawRun {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
}

/// Reads an image's configuration, and whether the image runs `here`.
pub(crate) fn configuration(bytes: &[u8], here: &Platform) -> Result<Configuration, Fault> {
    let raw: RawConfiguration = serde_json::from_slice(bytes)
        .map_err(|err| Fault::unusable(format!("its configuration cannot be read: {err}")))?;
    // Images of old tools name no platform: they were made before there was a choice.
    let named = !raw.platform.architecture.is_empty() && !raw.platform.os.is_empty();
    if named && !here.runs(&raw.platform) {
        return Err(wrong_platform(&raw.platform.to_string(), here));
    }
    let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
    let diff_ids = diff_ids
        .iter()
        .map(|id| id.parse().map_err(|err| Fault::unusable(format!("its configuration: {err}"))))
        .collect::<Result<_, _>>()?;
    Ok(Configuration { diff_ids, run: run(raw.config.unwrap_or_default()) })
}

fn run(raw: RawRun) -> ImageConfig {
    ImageConfig {
        entrypoint: raw.entrypoint.unwrap_or_default(),
        cmd: raw.cmd.unwrap_or_default(),
        env: raw.env.unwrap_or_default().iter().filter_map(|pair| variable(pair)).collect(),
        user: raw.user.unwrap_or_default(),
        working_dir: raw.working_dir.unwrap_or_default(),
    }
}

/// An entry without `=` unsets in Docker's build and says nothing here.
fn variable(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    Some((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use groundrun_core::port::ImageFaultKind;
    use serde_json::json;

    use super::*;

    fn sha(n: u8) -> String {
        Digest::of(&[n]).to_string()
    }

    fn image(layer_type: &str) -> serde_json::Value {
        json!({
            "schemaVersion": 2,
            "config": {"mediaType": CONFIG_TYPES[0], "digest": sha(1), "size": 3},
            "layers": [{"mediaType": layer_type, "digest": sha(2), "size": 4}],
        })
    }

    fn read(document: &serde_json::Value) -> Result<Document, Fault> {
        parse(document.to_string().as_bytes())
    }

    fn refused(document: &serde_json::Value, why: &str) {
        let fault = read(document).expect_err(why);
        assert_eq!(fault.kind, ImageFaultKind::Unusable);
        assert!(fault.message.contains(why), "{fault}");
    }

    #[test]
    fn every_layer_type_of_oci_and_schema_2_is_read() {
        for kind in LAYER_TYPES {
            let expected = Manifest {
                config: Blob { digest: Digest::of(&[1]), size: 3 },
                layers: vec![Blob { digest: Digest::of(&[2]), size: 4 }],
            };
            assert_eq!(read(&image(kind)), Ok(Document::Image(expected)));
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_by_name() {
        refused(&image("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), "vendor");
        refused(&image("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "vendor");
        refused(&image("application/vnd.oci.image.layer.v1.tar+encrypted"), "not supported");
        refused(&json!({"schemaVersion": 1, "fsLayers": []}), "schema 1");
        refused(&json!({"schemaVersion": 2}), "neither");
        let mut both = image(LAYER_TYPES[0]);
        both["manifests"] = json!([]);
        refused(&both, "both");
        let mut chart = image(LAYER_TYPES[0]);
        chart["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
        refused(&chart, "helm");
        let mut weak = image(LAYER_TYPES[0]);
        weak["layers"][0]["digest"] = json!("md5:00");
        refused(&weak, "md5:00");
        assert!(parse(b"<html>").is_err());
    }

    fn entry(os: &str, architecture: &str, variant: Option<&str>, n: u8) -> Descriptor {
        Descriptor {
            media_type: String::new(),
            digest: sha(n),
            size: 1,
            platform: Some(Platform {
                os: os.into(),
                architecture: architecture.into(),
                variant: variant.map(str::to_owned),
            }),
            annotations: None,
        }
    }

    fn amd64() -> Platform {
        Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
    }

    #[test]
    fn an_index_answers_by_platform_with_the_baseline_first() {
        let index = [
            entry("unknown", "unknown", None, 1),
            entry("linux", "arm64", Some("v8"), 2),
            entry("linux", "amd64", Some("v3"), 3),
            entry("linux", "amd64", None, 4),
        ];
        assert_eq!(choose(&index, &amd64()).map(|d| &d.digest), Ok(&sha(4)));
        assert_eq!(choose(&index[..3], &amd64()).map(|d| &d.digest), Ok(&sha(3)));
        let fault = choose(&index[..2], &amd64()).expect_err("no amd64");
        assert_eq!(fault.kind, ImageFaultKind::Unusable);
        assert!(fault.message.contains("linux/arm64/v8"), "{fault}");
        assert!(!fault.message.contains("unknown"), "{fault}");
    }

    #[test]
    fn a_configuration_says_what_runs() {
        let document = json!({
            "os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [sha(1)]},
            "config": {"Entrypoint": ["/a"], "Cmd": null, "Env": ["A=1=2", "B"], "User": "7", "WorkingDir": "/w"},
        });
        let read = configuration(document.to_string().as_bytes(), &amd64()).expect("reads");
        assert_eq!(read.diff_ids, [Digest::of(&[1])]);
        assert_eq!(read.run.entrypoint, ["/a"]);
        assert!(read.run.cmd.is_empty());
        assert_eq!(read.run.env, [("A".to_owned(), "1=2".to_owned())]);
        assert_eq!((read.run.user.as_str(), read.run.working_dir.as_str()), ("7", "/w"));
    }

    #[test]
    fn an_image_for_another_machine_is_refused() {
        let document = json!({"os": "linux", "architecture": "s390x", "rootfs": {"diff_ids": []}});
        let fault = configuration(document.to_string().as_bytes(), &amd64()).expect_err("s390x");
        assert!(fault.message.contains("linux/s390x"), "{fault}");
        assert!(fault.message.contains("linux/amd64"), "{fault}");
        let silent = json!({"rootfs": {"diff_ids": null}});
        assert!(configuration(silent.to_string().as_bytes(), &amd64()).is_ok());
    }
}
