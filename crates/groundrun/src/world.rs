//! Time, random and the machine: read here and passed down; nowhere else.

use std::path::PathBuf;

use groundrun_core::id::BootId;
use jiff::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{cli::exit::Stop, config::Surroundings};

/// Now, by the machine's clock.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Fills with random bytes of the kernel.
pub(crate) fn random(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        // Fails only when interrupted before the pool is ready at boot: ask again.
        if let Ok(n) = getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            filled += n;
        }
    }
}

/// A word that nobody can guess: 128 random bits.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 16];
    random(&mut bytes);
    format!("{:032x}", u128::from_ne_bytes(bytes))
}

/// This boot of the machine.
pub(crate) fn boot_id() -> Result<BootId, Stop> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path)
        .map_err(|e| Stop::cannot_run_here(vec![format!("read {path}: {e}")]))?;
    text.trim().parse().map(BootId).map_err(|e| Stop::cannot_run_here(vec![format!("{path}: {e}")]))
}

/// Where Google's libraries would look for the user's own credentials.
pub(crate) fn application_default_credentials() -> Result<PathBuf, Stop> {
    let named = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(file) = named("GOOGLE_APPLICATION_CREDENTIALS") {
        return Ok(file);
    }
    let gcloud = named("CLOUDSDK_CONFIG").or_else(|| Some(named("HOME")?.join(".config/gcloud")));
    gcloud.map(|folder| folder.join("application_default_credentials.json")).ok_or_else(|| {
        Stop::bad_input(
            "--adc=host: no home directory is known: set GOOGLE_APPLICATION_CREDENTIALS",
        )
    })
}

/// Who runs us.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        root: rustix::process::geteuid().is_root(),
        home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
        path: std::env::var_os("PATH"),
    }
}
