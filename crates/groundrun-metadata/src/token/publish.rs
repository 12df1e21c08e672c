//! What anyone may have: the public keys, and where they are.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{Mint, mint::TokenFault};

/// Seconds that a verifier may keep the keys: less than a new one is published before it signs.
const MAX_AGE: u32 = 300;

/// Where the keys are below the server's URL, as Google has them below `https://www.googleapis.com`.
const JWKS_PATH: &str = "/oauth2/v3/certs";

impl Mint {
    /// `Cache-Control` of the keys.
    pub fn key_caching() -> String {
        format!("public, max-age={MAX_AGE}, must-revalidate")
    }

    /// The keys as a JSON web key set (RFC 7517). Blocks.
    pub fn jwks(&self) -> Result<Value, TokenFault> {
        let keys: Vec<Value> = self
            .keys()?
            .iter()
            .map(|key| {
                let public = key.public();
                json!({
                    "kty": "RSA", "alg": "RS256", "use": "sig", "kid": key.id,
                    "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e),
                })
            })
            .collect();
        Ok(json!({"keys": keys}))
    }

    /// The keys in PEM by their ids: public keys, where Google has certificates around them. Blocks.
    pub fn pem(&self) -> Result<Value, TokenFault> {
        let keys = self.keys()?;
        let pem: Map<String, Value> =
            keys.iter().map(|key| (key.id.clone(), json!(key.pem))).collect();
        Ok(pem.into())
    }

    /// The discovery document of OpenID Connect, as far as a server that logs nobody in has one.
    pub fn discovery(&self) -> Result<Value, TokenFault> {
        let issuer = self.issuer()?;
        Ok(json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}{JWKS_PATH}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported":
                ["aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"],
        }))
    }
}
