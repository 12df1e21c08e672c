//! The server's signing keys: one file each, read by the owner alone, a new one every month.
//!
//! ```text
//! made ──10 min──▶ signs ──30 days──▶ the next signs ──2 h──▶ removed
//! └─────────────────────── published ────────────────────────┘
//! ```

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use ring::{rsa::PublicKeyComponents, signature::RsaKeyPair};
use rsa::{
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core::{TryCryptoRng, TryRng},
};
use sha2::{Digest, Sha256};

use crate::identity::World;

/// As long as Google's; a signature takes half a millisecond.
const KEY_BITS: usize = 2048;

/// A key that leaked unnoticed is good for no longer than this and [`RETIRED_FOR`].
const SIGNS_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A verifier that keeps the published keys for [`super::publish::MAX_AGE`] seconds knows a new one before it is used.
const PUBLISHED_BEFORE: SignedDuration = SignedDuration::from_mins(10);

/// Longer than any token of the key before is good for.
const RETIRED_FOR: SignedDuration = SignedDuration::from_hours(2);

/// End of the names of key files: PKCS #8 in DER.
const ENDING: &str = "pk8";

/// Makes, keeps and renews the keys.
pub(super) struct Keyring {
    dir: PathBuf,
    world: World,
    keys: Mutex<Option<Vec<Arc<Key>>>>,
}

/// One key.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) pair: RsaKeyPair,
    /// `SubjectPublicKeyInfo`, PEM.
    pub(super) pem: String,
    made: Timestamp,
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyFault {
    #[error("{doing} {path}")]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not a signing key of this server: remove it, and another one is made")]
    Unusable(PathBuf),
    #[error("a signing key could not be made")]
    Make,
}

impl Keyring {
    /// Keys are kept in `dir`, which is made when the first one is.
    pub(super) fn new(dir: PathBuf, world: World) -> Self {
        Self { dir, world, keys: Mutex::new(None) }
    }

    /// The key to sign with at `now`. Blocks: it reads files, and may make a key.
    pub(super) fn signer(&self, now: Timestamp) -> Result<Arc<Key>, KeyFault> {
        let keys = self.keys(now)?;
        let made: Vec<Timestamp> = keys.iter().map(|key| key.made).collect();
        keys.get(plan(&made, now).sign).cloned().ok_or(KeyFault::Make)
    }

    /// All keys whose tokens may still be good, the oldest first. Blocks, as [`signer`](Self::signer).
    pub(super) fn keys(&self, now: Timestamp) -> Result<Vec<Arc<Key>>, KeyFault> {
        let mut kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = match kept.take() {
            Some(keys) => keys,
            None => self.load()?,
        };
        let plan = plan(&keys.iter().map(|key| key.made).collect::<Vec<_>>(), now);
        for old in keys.drain(..plan.retired) {
            let path = self.path(old.made);
            fs::remove_file(&path).or_else(|e| {
                if e.kind() == io::ErrorKind::NotFound {
                    Ok(())
                } else {
                    Err(file("remove", &path, e))
                }
            })?;
        }
        if plan.make {
            keys.push(Arc::new(self.make(now)?));
        }
        *kept = Some(keys.clone());
        Ok(keys)
    }

    fn load(&self) -> Result<Vec<Arc<Key>>, KeyFault> {
        let mut keys = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(keys),
            Err(e) => return Err(file("list", &self.dir, e)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|ending| ending != ENDING) {
                continue;
            }
            let der = fs::read(&path).map_err(|e| file("read", &path, e))?;
            let made = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok())
                .and_then(|second| Timestamp::from_second(second).ok());
            let key = made.and_then(|made| Key::new(&der, made));
            keys.push(Arc::new(key.ok_or(KeyFault::Unusable(path))?));
        }
        keys.sort_by_key(|key| key.made);
        Ok(keys)
    }

    fn make(&self, now: Timestamp) -> Result<Key, KeyFault> {
        let made = rsa::PrivateKey::new(&mut Random(&self.world), KEY_BITS)
            .ok()
            .and_then(|key| key.to_pkcs8_der().ok())
            .ok_or(KeyFault::Make)?;
        // As its file says when it is read.
        let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let key = Key::new(made.as_bytes(), second).ok_or(KeyFault::Make)?;
        self.write(&self.path(second), made.as_bytes())?;
        Ok(key)
    }

    fn path(&self, made: Timestamp) -> PathBuf {
        self.dir.join(format!("{}.{ENDING}", made.as_second()))
    }

    /// Whole or not at all, and on disk before its first token is handed out.
    fn write(&self, path: &Path, der: &[u8]) -> Result<(), KeyFault> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|e| file("make", &self.dir, e))?;
        let draft = path.with_extension("draft");
        let write = || {
            let mut out = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            out.write_all(der)?;
            out.sync_all()?;
            fs::rename(&draft, path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|e| file("write", path, e))
    }
}

fn file(doing: &'static str, path: &Path, source: io::Error) -> KeyFault {
    KeyFault::File { doing, path: path.to_owned(), source }
}

impl Key {
    fn new(der: &[u8], made: Timestamp) -> Option<Self> {
        let pair = RsaKeyPair::from_pkcs8(der).ok()?;
        let public = rsa::PrivateKey::from_pkcs8_der(der).ok()?.to_public_key();
        let pem = public.to_public_key_pem(LineEnding::LF).ok()?;
        let digest = Sha256::digest(pair.public().as_ref());
        let id = digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id, pair, pem, made })
    }

    /// Modulus and exponent, big-endian.
    pub(super) fn public(&self) -> PublicKeyComponents<Vec<u8>> {
        self.pair.public().into()
    }
}

/// What becomes of the keys.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// So many of the oldest are removed.
    retired: usize,
    /// Which of the given ones signs.
    sign: usize,
    /// A new one is made.
    make: bool,
}

/// Of keys made at these times, the oldest first.
fn plan(made: &[Timestamp], now: Timestamp) -> Plan {
    let since = |time: Timestamp| now.duration_since(time);
    let make = made.last().is_none_or(|newest| since(*newest) >= SIGNS_FOR);
    let sign = made.iter().rposition(|made| since(*made) >= PUBLISHED_BEFORE).unwrap_or(0);
    let retired =
        made.iter().rposition(|made| since(*made) >= PUBLISHED_BEFORE + RETIRED_FOR).unwrap_or(0);
    Plan { retired, sign, make }
}

/// The random bytes that the program gives, as the key maker wants them.
struct Random<'w>(&'w World);

impl TryRng for Random<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        (self.0.random)(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        (self.0.random)(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        (self.0.random)(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).expect("a time")
    }

    #[test]
    fn a_key_signs_for_a_month_and_is_published_before_and_after() {
        let month = 30 * 24;
        let plan = |made: &[i64], now: i64| {
            let made: Vec<Timestamp> = made.iter().map(|hours| at(*hours)).collect();
            let Plan { retired, sign, make } = super::plan(&made, at(now));
            (retired, sign, make)
        };
        assert_eq!(plan(&[], 0), (0, 0, true), "the first is made at once");
        assert_eq!(plan(&[0], 0), (0, 0, false), "the only one signs at once");
        assert_eq!(plan(&[0], month - 1), (0, 0, false));
        assert_eq!(plan(&[0], month), (0, 0, true), "the next is made after a month");
        assert_eq!(plan(&[0, month], month), (0, 0, false), "and is published before it signs");
        assert_eq!(plan(&[0, month], month + 1), (0, 1, false));
        assert_eq!(plan(&[0, month], month + 3), (1, 1, false), "the old one is retired");
        assert_eq!(plan(&[5], 0), (0, 0, false), "a clock that was put back stops nothing");
    }
}
