//! Volumes whose files are kept outside of tasks: buckets and NFS directories. Whether they are there is not known here:
//! a job whose are not is stored, and not ready.

use groundrun_api::v1::{CsiVolumeSource, NfsVolumeSource};

use super::faults::Faults;
use crate::needs::files::{
    BUCKET_NAME, GCSFUSE, MOUNT_OPTIONS, gcsfuse_flags, is_bucket, mount_options,
};

/// Options of one bucket: gcsfuse has about a hundred flags.
const OPTIONS_MAX: usize = 100;

/// Of a server's name, as of every name in DNS.
const SERVER_MAX: usize = 253;

/// Of an exported path, with the final NUL.
const PATH_MAX: usize = 4096;

pub(super) fn bucket(path: &str, source: &CsiVolumeSource, faults: &mut Faults) {
    if source.driver.as_deref().unwrap_or_default() != GCSFUSE {
        faults.add(format!("{path}.csi.driver"), format!("only {GCSFUSE} is supported"));
    }
    match source.volume_attributes.get(BUCKET_NAME).map(String::as_str) {
        None | Some("") => faults.add(format!("{path}.gcs.bucket"), "Bucket name must be specified"),
        Some(name) if !is_bucket(name) => faults.add(
            format!("{path}.gcs.bucket"),
            format!(
                "'{name}' is no name of a bucket: 3 to 63 (with dots 222) lowercase letters, digits, '-', '_' and '.', \
                 beginning and ending with a letter or a digit"
            ),
        ),
        Some(_) => {}
    }
    for other in source.volume_attributes.keys() {
        if ![BUCKET_NAME, MOUNT_OPTIONS].contains(&other.as_str()) {
            faults.add(
                format!("{path}.csi.volume_attributes[\"{other}\"]"),
                format!("only {BUCKET_NAME} and {MOUNT_OPTIONS} are supported"),
            );
        }
    }
    let options = mount_options(source);
    if options.len() > OPTIONS_MAX {
        faults.add(format!("{path}.gcs.mount_options"), format!("must be at most {OPTIONS_MAX}"));
    }
    for (n, option) in options.iter().enumerate() {
        if !option.starts_with(|c: char| c.is_ascii_lowercase())
            || option.contains(char::is_control)
        {
            faults.add(
                format!("{path}.gcs.mount_options[{n}]"),
                format!("'{option}' must be a flag of gcsfuse without its dashes"),
            );
        // gcsfuse takes all that a directory takes. What only a directory refuses depends on what the bucket is mapped to.
        } else if let Err(fault) = gcsfuse_flags(std::slice::from_ref(option), |id| id) {
            faults.add(
                format!("{path}.gcs.mount_options[{n}]"),
                format!("'{option}' {}", fault.why()),
            );
        }
    }
}

pub(super) fn nfs(path: &str, source: &NfsVolumeSource, faults: &mut Faults) {
    let server = source.server.as_deref().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || ['-', '.', ':'].contains(&c);
    if server.is_empty() {
        faults.add(format!("{path}.nfs.server"), "must be set");
    } else if !server.chars().all(allowed) || server.starts_with('-') || server.len() > SERVER_MAX {
        faults.add(format!("{path}.nfs.server"), "must be a host name or an IP address");
    }
    let place = source.path.as_deref().unwrap_or_default();
    if !place.starts_with('/') || place.contains(char::is_control) || place.len() >= PATH_MAX {
        faults.add(format!("{path}.nfs.path"), "must be a valid unix absolute path");
    }
}
