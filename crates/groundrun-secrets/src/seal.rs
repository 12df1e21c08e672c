//! Sealing: ChaCha20-Poly1305 under a random nonce. What a value is of goes into the seal: it opens in no other place.

use std::sync::{Arc, Mutex, PoisonError};

use groundrun_core::{
    port::SecretValue,
    secret::{SecretName, SecretUid},
};
use groundrun_store::Fingerprint;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use zeroize::{Zeroize, Zeroizing};

use crate::key::{KEY_BYTES, KeyBytes, KeyFault, KeyFile};

/// First byte of a sealed value: another shape gets another one.
const SHAPE: u8 = 1;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Seals and opens with the key of one data directory.
pub struct Sealer {
    file: KeyFile,
    random: Random,
    /// Held while a key is made: of two who write the first values at once, one makes it.
    making: Mutex<()>,
}

/// The key of a data directory. Never printed.
pub struct Key {
    aead: LessSafeKey,
    fingerprint: Fingerprint,
}

/// What a value is of.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Identity of the secret.
    pub uid: SecretUid,
    /// Its name.
    pub name: &'a SecretName,
    /// Number of the version.
    pub version: i64,
}

/// Used once: twice the same with one key would give both values away.
pub struct Once([u8; NONCE_LEN]);

/// The value was not sealed with this key for this place, or was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was changed since it was sealed, or belongs to another version")]
pub struct Unopened;

impl Sealer {
    /// With the key in `file`.
    #[must_use]
    pub fn new(file: KeyFile, random: Random) -> Self {
        Self { file, random, making: Mutex::new(()) }
    }

    /// The file with the key.
    #[must_use]
    pub fn file(&self) -> &KeyFile {
        &self.file
    }

    /// The key for values that are sealed with the one of `fingerprint`.
    ///
    /// # Errors
    /// It cannot be had: why, and what to do.
    pub fn key(&self, fingerprint: Fingerprint) -> Result<Key, KeyFault> {
        match self.file.read()? {
            Some(bytes) => self.checked(&bytes, Some(fingerprint)),
            None => Err(self
                .file
                .missing(Some(fingerprint))
                .unwrap_or_else(|| KeyFault::Gone(self.file.path().to_owned()))),
        }
    }

    /// The key for a new value, where the others are sealed with the one of `fingerprint`; made if there are none, and it
    /// is ours to make.
    ///
    /// # Errors
    /// It cannot be had: why, and what to do.
    pub fn key_or_new(&self, fingerprint: Option<Fingerprint>) -> Result<Key, KeyFault> {
        let read = || self.file.read()?.map(|bytes| self.checked(&bytes, fingerprint)).transpose();
        if let Some(key) = read()? {
            return Ok(key);
        }
        if let Some(fault) = self.file.missing(fingerprint) {
            return Err(fault);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = read()? {
            return Ok(key);
        }
        let mut bytes = KeyBytes::default();
        (self.random)(&mut *bytes);
        self.file.make(&bytes)?;
        // Read back: somebody may have been faster, and then theirs is the one.
        read()?.ok_or_else(|| KeyFault::Gone(self.file.path().to_owned()))
    }

    fn checked(&self, bytes: &KeyBytes, expected: Option<Fingerprint>) -> Result<Key, KeyFault> {
        let key = Key::new(bytes);
        if expected.is_some_and(|expected| expected != key.fingerprint) {
            return Err(KeyFault::Other(self.file.path().to_owned()));
        }
        Ok(key)
    }

    /// A nonce: 96 random bits. Among 2^32 values of one key, two meet with a chance of one in four thousand millions.
    #[must_use]
    pub fn once(&self) -> Once {
        let mut nonce = [0; NONCE_LEN];
        (self.random)(&mut nonce);
        Once(nonce)
    }
}

impl Key {
    /// Of these bytes.
    #[must_use]
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let unbound =
            UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("its keys have KEY_BYTES bytes");
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, bytes),
            b"groundrun: which key secrets are sealed with",
        );
        let fingerprint = tag.as_ref().first_chunk().copied().expect("a tag has 32 bytes");
        Self { aead: LessSafeKey::new(unbound), fingerprint }
    }

    /// What tells it from another.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// `plain` as it is kept for `place`: shape, nonce, ciphertext, tag.
    #[must_use]
    pub fn seal(&self, place: &Place<'_>, plain: &[u8], Once(nonce): Once) -> Vec<u8> {
        let mut text = Zeroizing::new(plain.to_vec());
        let tag = self
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.words()),
                &mut text,
            )
            .expect("only a text of 256 GiB is too long");
        [&[SHAPE], &nonce[..], &text, tag.as_ref()].concat()
    }

    /// What was sealed for `place`.
    ///
    /// # Errors
    /// It was not, with this key.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<SecretValue, Unopened> {
        let rest = sealed.strip_prefix(&[SHAPE]).ok_or(Unopened)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unopened)?;
        let mut text = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.aead.open_in_place(nonce, Aad::from(place.words()), &mut text);
        match opened.map(|plain| plain.len()) {
            Ok(length) => {
                text.truncate(length);
                Ok(SecretValue::new(text))
            }
            Err(_) => {
                text.zeroize();
                Err(Unopened)
            }
        }
    }
}

impl Place<'_> {
    /// Each part behind its length, so that no two places read the same.
    fn words(&self) -> Vec<u8> {
        let SecretName { project, location, secret } = self.name;
        let mut words = self.uid.0.as_bytes().to_vec();
        words.extend(self.version.to_be_bytes());
        for part in [project.as_str(), location.as_deref().unwrap_or_default(), secret] {
            words.extend((part.len() as u64).to_be_bytes());
            words.extend(part.as_bytes());
        }
        words
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}
