//! `projects.locations.jobs.setIamPolicy`: replaces the parts that the mask names, if nobody was faster.

use std::sync::Arc;

use axum::extract::State;
use base64::{Engine, engine::general_purpose::STANDARD};
use groundrun_api::{ApiError, Code, FieldViolation, v1};
use groundrun_store::{Policy, WriteError};

use super::{Path, find, place, shown};
use crate::{
    app::App,
    call::{At, Call},
    error::Outcome,
    reply,
    update_mask::{self, Part},
};

/// Members of one policy, as at Google.
const MEMBERS_MAX: usize = 1500;

/// What is replaced when the request has no mask.
const DEFAULT_MASK: &str = "bindings,etag";

pub(crate) async fn set(
    State(app): State<Arc<App>>,
    At((project, region, name)): At<Path>,
    call: Call,
) -> Outcome {
    let shape = call.shape(&[])?;
    let change = Change::read(call.message(&app).await?, app.uuid())?;
    let place = place(&app, &project, &region)?;
    let policy = app
        .write(move |tx| {
            let job = find(tx, &name, &place)?.map_err(WriteError::Refused)?;
            let current = tx.policy(job.uid)?;
            let (kept, policy) = change.apply(current).map_err(WriteError::Refused)?;
            tx.set_policy(job.uid, &kept)?;
            Ok(policy)
        })
        .await?;
    reply::json(&policy, &shape)
}

/// A change of a policy, without a fault in itself.
pub(crate) struct Change {
    given: v1::Policy,
    mask: Mask,
    etag: String,
}

impl Change {
    /// Reads a request; `uuid` is random, and makes the next etag.
    pub(crate) fn read(
        request: v1::SetIamPolicyRequest,
        uuid: uuid::Uuid,
    ) -> Result<Self, ApiError> {
        let v1::SetIamPolicyRequest { policy, update_mask } = request;
        let given = policy.unwrap_or_default();
        let mask = Mask::parse(update_mask.as_deref().unwrap_or(DEFAULT_MASK))?;
        check(&given)?;
        Ok(Self { given, mask, etag: etag(uuid) })
    }

    /// As the client gave it.
    pub(crate) fn given(&self) -> &v1::Policy {
        &self.given
    }

    /// Laid over `current`, if nobody was faster: what is to be kept, and what is answered.
    pub(crate) fn apply(self, current: Option<Policy>) -> Result<(Policy, v1::Policy), ApiError> {
        let Self { given, mask, etag } = self;
        let current = shown(current)?;
        if given.etag.is_some() && given.etag != current.etag {
            return Err(stale());
        }
        let policy = mask.apply(given, current);
        let json = serde_json::to_string(&policy)
            .map_err(|error| ApiError::internal(format_args!("writing a policy: {error}")))?;
        let kept = Policy { json, etag: etag.clone() };
        Ok((kept, v1::Policy { etag: Some(etag), ..policy }))
    }
}

fn stale() -> ApiError {
    let text = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential \
                backoff. The request's ETag did not match the current policy's ETag.";
    ApiError::new(Code::Aborted, text)
}

/// Eight random bytes in base64, as clients decode it.
fn etag(uuid: uuid::Uuid) -> String {
    STANDARD.encode(&uuid.as_bytes()[..8])
}

/// Which parts of a policy are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mask {
    bindings: Part,
    audit_configs: Part,
    version: Part,
}

impl Mask {
    /// `bindings,etag`, in either spelling. The etag is always a new one.
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut mask = Self::default();
        for path in update_mask::paths(text) {
            match path.as_str() {
                "bindings" => mask.bindings = Part::Replaced,
                "audit_configs" => mask.audit_configs = Part::Replaced,
                "version" => mask.version = Part::Replaced,
                "etag" => {}
                other => {
                    let text = format!("'{other}' is not a field of a policy");
                    return Err(ApiError::invalid(vec![FieldViolation::new("updateMask", text)]));
                }
            }
        }
        Ok(mask)
    }

    fn apply(self, given: v1::Policy, current: v1::Policy) -> v1::Policy {
        let with_members = |binding: &v1::Binding| !binding.members.is_empty();
        let bindings: Vec<v1::Binding> = given.bindings.into_iter().filter(with_members).collect();
        v1::Policy {
            bindings: self.bindings.of(bindings, current.bindings),
            audit_configs: self.audit_configs.of(given.audit_configs, current.audit_configs),
            version: self.version.of(given.version, current.version).or(Some(1)),
            etag: None,
        }
    }
}

/// Every fault of a policy at once.
fn check(policy: &v1::Policy) -> Result<(), ApiError> {
    let mut faults = Vec::new();
    if policy.version.is_some_and(|version| !matches!(version, 0 | 1 | 3)) {
        faults.push(FieldViolation::new("policy.version", "must be 0, 1 or 3"));
    }
    for (index, binding) in policy.bindings.iter().enumerate() {
        let at = format!("policy.bindings[{index}]");
        let role = binding.role.as_deref().unwrap_or_default();
        let parts: Vec<&str> = role.split('/').collect();
        if !matches!(parts[..], ["roles", name] | ["projects" | "organizations", _, "roles", name] if !name.is_empty())
        {
            let text = format!("Role ({role}) does not exist in the resource's hierarchy.");
            faults.push(FieldViolation::new(format!("{at}.role"), text));
        }
        if binding.condition.is_some() && policy.version != Some(3) {
            let text = "a policy with conditions must have version 3";
            faults.push(FieldViolation::new(format!("{at}.condition"), text));
        }
        for (member, name) in binding.members.iter().enumerate() {
            if !is_member(name) {
                let text = format!("The member {name} is of an unknown type.");
                faults.push(FieldViolation::new(format!("{at}.members[{member}]"), text));
            }
        }
    }
    let members: usize = policy.bindings.iter().map(|binding| binding.members.len()).sum();
    if members > MEMBERS_MAX {
        faults
            .push(FieldViolation::new("policy.bindings", format!("at most {MEMBERS_MAX} members")));
    }
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

/// `user:a@b.example`, `allUsers`, `principal://…`, `deleted:user:…`.
fn is_member(text: &str) -> bool {
    if matches!(text, "allUsers" | "allAuthenticatedUsers") {
        return true;
    }
    let Some((kind, name)) = text.split_once(':') else { return false };
    let kinds = [
        "user",
        "group",
        "serviceAccount",
        "domain",
        "principal",
        "principalSet",
        "deleted",
        "projectOwner",
        "projectEditor",
        "projectViewer",
    ];
    kinds.contains(&kind) && !name.is_empty()
}
