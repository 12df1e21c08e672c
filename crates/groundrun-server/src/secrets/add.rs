//! `secrets.addVersion`: what it holds is sealed before it reaches the store, and no answer shows it.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use groundrun_api::{ApiError, Code, check, secretmanager::AddVersionRequest};
use groundrun_core::{
    record::Revision,
    secret::{Version, VersionState},
};
use groundrun_secrets::{Place, lookup, rules};
use groundrun_store::{Sealed, WriteError};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::{Named, Path, no_key};
use crate::{
    app::App,
    call::{At, Call, SMALL_BODY},
    error::{Outcome, Refusal},
    reply,
};

/// Versions of a secret that are not destroyed: 640 MiB at most.
const VERSIONS_MAX: u32 = 10_000;

pub(crate) async fn add(State(app): State<Arc<App>>, At(path): At<Path>, call: Call) -> Outcome {
    let shape = call.shape(&[])?;
    let (checksum, payload) = read(call.body)?;
    let mut faults = Vec::new();
    rules::check_payload(&payload, checksum, &mut faults);
    if !faults.is_empty() {
        return Err(ApiError::invalid(faults).into());
    }
    let named = Named::of(&app, &path)?;
    let (asked, sealer) = (named.clone(), Arc::clone(&app.sealer));
    // On a thread that may block: the key is a file, and perhaps made now.
    let key = app
        .read(move |view| {
            lookup::secret(view, &asked.shown())??;
            sealer.key_or_new(view.secret_key()?).map_err(|fault| no_key(&fault))
        })
        .await?;
    let once = app.sealer.once();
    let answer = app
        .write(move |tx| {
            let secret = lookup::secret(tx, &named.shown())?.map_err(WriteError::Refused)?;
            if tx.secret_key()?.is_some_and(|known| known != key.fingerprint()) {
                let text = "The key of secrets was replaced meanwhile: try again.";
                return Err(WriteError::Refused(ApiError::new(Code::Aborted, text)));
            }
            if tx.live_version_count(secret.uid)? >= VERSIONS_MAX {
                let text = format!(
                    "A secret has at most {VERSIONS_MAX} versions here: destroy some that nobody uses any more."
                );
                return Err(WriteError::Refused(ApiError::new(Code::ResourceExhausted, text)));
            }
            let mut version = Version {
                secret: secret.uid,
                number: secret.newest + 1,
                state: VersionState::Enabled,
                created: tx.now(),
                revision: Revision::default(),
                checksum_given: checksum.is_some(),
            };
            let place = Place { uid: secret.uid, name: &named.name, version: version.number };
            let bytes = key.seal(&place, &payload, once);
            let sealed = Sealed { bytes: &bytes, key: key.fingerprint() };
            tx.insert_secret_version(&mut version, sealed)?;
            Ok(named.version_of(&secret, &version))
        })
        .await?;
    reply::json(&answer, &shape)
}

/// The checksum and the payload of a request. A fault does not show what it holds, wherever in the request that stands.
fn read(body: Bytes) -> Outcome<(Option<i64>, Zeroizing<Vec<u8>>)> {
    if body.len() > SMALL_BODY {
        let text = format!(
            "payload.data: the request has {} bytes, and a secret holds at most {}",
            body.len(),
            rules::PAYLOAD_MAX
        );
        return Err(Refusal::violation("payload.data", text));
    }
    let document = check::parse_json(&body);
    // Alone with it as a rule: hyper gives each request a buffer of its own.
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
    let mut document = document?;
    let payload = take(&mut document)?;
    let request: AddVersionRequest = check::decode(document)?;
    Ok((request.payload.and_then(|payload| payload.data_crc32c), payload))
}

/// Takes the payload out of the request, so that nothing of it is left to be shown.
fn take(document: &mut Value) -> Outcome<Zeroizing<Vec<u8>>> {
    let wrong = |field: &str, what: &str| {
        Err(Refusal::violation(field, format!("Invalid value at '{field}' ({what})")))
    };
    let mut none = Map::new();
    let request = match document {
        Value::Object(request) => request,
        _ => &mut none,
    };
    let payload = match request.get_mut("payload") {
        None | Some(Value::Null) => return Ok(Zeroizing::default()),
        Some(Value::Object(payload)) => payload,
        Some(_) => return wrong("payload", "an object is expected"),
    };
    match payload.remove("data") {
        None | Some(Value::Null) => Ok(Zeroizing::default()),
        Some(Value::String(text)) => {
            let text = Zeroizing::new(text);
            match check::base64(&text) {
                Some(bytes) => Ok(Zeroizing::new(bytes)),
                None => {
                    wrong("payload.data", "TYPE_BYTES), Base64 decoding failed (it is not shown")
                }
            }
        }
        Some(_) => wrong("payload.data", "TYPE_BYTES"),
    }
}
