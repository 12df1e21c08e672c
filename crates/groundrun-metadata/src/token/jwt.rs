//! JSON web signatures with RS256, in compact form (RFC 7515).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The header of a token.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: String,
    /// Tells kinds of tokens apart: one is never taken for another.
    pub(crate) typ: String,
}

/// Signs `claims`. `None` where the key cannot sign, which no loaded key does.
pub(crate) fn encode(key: &RsaKeyPair, kid: &str, typ: &str, claims: &Value) -> Option<String> {
    let header = Header { alg: "RS256".to_owned(), kid: kid.to_owned(), typ: typ.to_owned() };
    let header = serde_json::to_vec(&header).ok()?;
    let body = claims.to_string();
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).ok()?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

/// A token taken apart; nothing of it is believed yet.
pub(crate) struct Parts<'t> {
    pub(crate) header: Header,
    signed: &'t str,
    signature: Vec<u8>,
    body: Vec<u8>,
}

impl<'t> Parts<'t> {
    pub(crate) fn read(token: &'t str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, body) = signed.split_once('.')?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        Some(Self {
            header: serde_json::from_slice(&header).ok()?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            body: URL_SAFE_NO_PAD.decode(body).ok()?,
        })
    }

    /// The claims, where `key` (an `RSAPublicKey` in DER) signed them with the algorithm that is used here.
    pub(crate) fn claims<T: for<'de> Deserialize<'de>>(&self, key: &[u8]) -> Option<T> {
        if self.header.alg != "RS256" {
            return None;
        }
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(self.signed.as_bytes(), &self.signature)
            .ok()?;
        serde_json::from_slice(&self.body).ok()
    }
}
