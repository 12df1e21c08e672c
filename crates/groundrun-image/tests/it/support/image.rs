//! Images, and the two forms in which they lie in files.

use std::{collections::BTreeMap, fs, path::Path};

use groundrun_image::Digest;
use serde_json::{Value, json};

use super::archive::{Archive, Layer};

/// An image: its documents and blobs by digest.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layers: Vec<Layer>,
}

pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Image {
    pub(crate) fn new(layers: &[Layer]) -> Self {
        Self::with(layers, |_| {})
    }

    /// With its configuration changed by `edit`.
    pub(crate) fn with(layers: &[Layer], edit: impl FnOnce(&mut Value)) -> Self {
        let mut config = json!({
            "os": "linux",
            "architecture": architecture(),
            "config": {"Entrypoint": ["/bin/job"], "Cmd": ["run"], "Env": ["A=1"], "User": "7:8", "WorkingDir": "/w"},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| &l.diff_id).collect::<Vec<_>>()},
        });
        edit(&mut config);
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|l| descriptor(l.media_type, &l.bytes)).collect::<Vec<_>>(),
        });
        Self { manifest: manifest.to_string().into_bytes(), config, layers: layers.to_vec() }
    }

    pub(crate) fn digest(&self) -> String {
        Digest::of(&self.manifest).to_string()
    }

    /// Content by digest.
    pub(crate) fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        let layers = self.layers.iter().map(|layer| layer.bytes.clone());
        let all = layers.chain([self.config.clone(), self.manifest.clone()]);
        all.map(|bytes| (Digest::of(&bytes).to_string(), bytes)).collect()
    }

    /// Writes an OCI layout.
    pub(crate) fn layout(&self, path: &Path, tag: &str) {
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &self.manifest);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        write_layout(path, &index, &self.blobs());
    }

    /// What `docker save` writes, in its old form.
    pub(crate) fn saved(&self, tag: &str) -> Vec<u8> {
        let names: Vec<String> = (0..self.layers.len()).map(|n| format!("{n}/layer.tar")).collect();
        let config = format!("{}.json", Digest::of(&self.config).hex());
        let manifest = json!([{"Config": config, "RepoTags": [tag], "Layers": names}]);
        let mut archive = Archive::default().file(&config, &self.config);
        for (layer, name) in self.layers.iter().zip(&names) {
            archive = archive.file(name, &layer.bytes);
        }
        archive.file("manifest.json", manifest.to_string().as_bytes()).end()
    }
}

pub(crate) fn write_layout(path: &Path, index: &Value, blobs: &BTreeMap<String, Vec<u8>>) {
    let folder = path.join("blobs/sha256");
    fs::create_dir_all(&folder).expect("a temporary directory");
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("writes");
    fs::write(path.join("index.json"), index.to_string()).expect("writes");
    for (digest, bytes) in blobs {
        fs::write(folder.join(digest.trim_start_matches("sha256:")), bytes).expect("writes");
    }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// An index of images for these platforms.
pub(crate) fn index(images: &[(&Image, &str)]) -> Vec<u8> {
    let entries: Vec<Value> = images
        .iter()
        .map(|(image, architecture)| {
            let mut entry =
                descriptor("application/vnd.oci.image.manifest.v1+json", &image.manifest);
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        })
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    })
    .to_string()
    .into_bytes()
}
