//! gcloud sends a request again when its answer was lost, also `:run`. One command has one invocation id, so the same
//! id, path and body within a minute are the same request (fact: gcloud-wire F.11).

use sha2::{Digest, Sha256};

use crate::call::Call;

/// What the request is remembered by; None for clients that do not say which command it is of.
pub(super) fn key(call: &Call, project: &str, region: &str) -> Option<String> {
    let id =
        call.user_agent.split_whitespace().find_map(|part| part.strip_prefix("invocation-id/"))?;
    if id.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    for part in [id, project, region, &call.path] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    digest.update(&call.body);
    Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
