//! Answers a registry that asks who we are: the token protocol of docker's distribution, or a password.
//!
//! The challenge is read by `http-auth`. The token's request is ours, because its status decides what the user is
//! told: a token server that is down is not a user who may not.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, StatusCode, Url, header::HeaderValue};
use serde::Deserialize;

use super::{
    client::{answer, bounded},
    credentials::{Source, Who},
};
use crate::{fault::Fault, reference::Remote, settings::Timeouts};

/// A token is a few kilobytes, with many groups in it some dozens.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// With whom, and about what.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Client,
    pub(super) remote: &'a Remote,
    /// The registry itself is asked over TLS.
    pub(super) secure: bool,
    pub(super) timeouts: &'a Timeouts,
}

/// What to send, and who that is.
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    pub(super) who: Who,
}

/// The answer to a registry's `challenges`.
pub(super) async fn authorize(
    exchange: &Exchange<'_>,
    challenges: &[String],
    source: &Source,
) -> Result<Authorization, Fault> {
    let who = source.who(&exchange.remote.registry).await;
    let header = match challenge(challenges) {
        Some(Challenge::Bearer { realm, service }) => {
            let token = token(exchange, &realm, service.as_deref(), &who).await?;
            secret_header(format!("Bearer {token}"))
        }
        Some(Challenge::Basic) => match &who {
            Who::User { name, password } => secret_header(basic(name, password)),
            Who::Nobody { .. } | Who::Identity { .. } => {
                return Err(denied(exchange.remote, &who));
            }
        },
        None => return Err(denied(exchange.remote, &who)),
    };
    Ok(Authorization { header: header?, who })
}

/// Who was not allowed in.
pub(super) fn denied(remote: &Remote, who: &Who) -> Fault {
    let Remote { registry, repository, .. } = remote;
    Fault::denied(match who {
        Who::Nobody { why: None } => format!(
            "registry {registry} does not let anonymous users pull {repository}, or it does not exist: log in with `docker login {registry}`, or check the name"
        ),
        Who::Nobody { why: Some(why) } => format!(
            "registry {registry} does not let anonymous users pull {repository}, and no credentials could be read: {why}"
        ),
        Who::User { name, .. } => format!(
            "registry {registry} does not let user {name:?} pull {repository}, or it does not exist: log in again with `docker login {registry}`, or check the name"
        ),
        Who::Identity { .. } => format!(
            "registry {registry} does not let the logged-in user pull {repository}, or it does not exist: log in again with `docker login {registry}`, or check the name"
        ),
    })
}

enum Challenge {
    Bearer { realm: String, service: Option<String> },
    Basic,
}

/// The token protocol where it is offered, else a password.
fn challenge(headers: &[String]) -> Option<Challenge> {
    let all =
        || headers.iter().filter_map(|header| http_auth::parse_challenges(header).ok()).flatten();
    let bearer =
        all().filter(|offer| offer.scheme.eq_ignore_ascii_case("bearer")).find_map(|offer| {
            let of = |key: &str| {
                let found = offer.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Challenge::Bearer { realm: of("realm")?, service: of("service") })
        });
    bearer.or_else(|| {
        all().any(|offer| offer.scheme.eq_ignore_ascii_case("basic")).then_some(Challenge::Basic)
    })
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

async fn token(
    exchange: &Exchange<'_>,
    realm: &str,
    service: Option<&str>,
    who: &Who,
) -> Result<String, Fault> {
    let Exchange { client, remote, secure, timeouts } = exchange;
    let url = Url::parse(realm).map_err(|_| {
        Fault::unusable(format!(
            "registry {} names a token server without an address",
            remote.registry
        ))
    })?;
    if *secure && url.scheme() != "https" {
        return Err(Fault::unusable(format!(
            "registry {} names a token server without TLS: credentials are not sent there",
            remote.registry
        )));
    }
    let scope = format!("repository:{}:pull", remote.repository);
    let mut query = vec![("scope", scope.as_str())];
    query.extend(service.map(|service| ("service", service)));
    let request = match who {
        Who::Nobody { .. } => client.get(url).query(&query),
        Who::User { name, password } => {
            client.get(url).query(&query).basic_auth(name, Some(password))
        }
        Who::Identity { token } => {
            query.extend([
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", "groundrun"),
            ]);
            client.post(url).form(&query)
        }
    };
    let down = |why: &str| {
        Fault::unreachable(format!("the token server of registry {} fails: {why}", remote.registry))
    };
    let response = answer(request, timeouts).await.map_err(|why| down(&why))?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::TOO_MANY_REQUESTS => return Err(down("it limits how often it may be asked")),
        status if status.is_client_error() => return Err(denied(remote, who)),
        status => return Err(down(&format!("HTTP {status}"))),
    }
    let body =
        bounded(response, TOKEN_BYTES_MAX, timeouts.stall).await.map_err(|why| down(&why))?;
    let body = body.ok_or_else(|| down("its answer is too long"))?;
    let token: Token = serde_json::from_slice(&body).map_err(|_| down("its answer is no token"))?;
    token.token.or(token.access_token).ok_or_else(|| down("its answer holds no token"))
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Marked so that no log shows it.
fn secret_header(text: String) -> Result<HeaderValue, Fault> {
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| Fault::unusable("the registry's token cannot be sent in a header"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_protocol_is_preferred_to_a_password() {
        let offers = [
            "Basic realm=\"r\"".to_owned(),
            "Bearer realm=\"https://t/x\",service=\"s\"".to_owned(),
        ];
        match challenge(&offers) {
            Some(Challenge::Bearer { realm, service }) => {
                assert_eq!((realm.as_str(), service.as_deref()), ("https://t/x", Some("s")));
            }
            _ => panic!("no bearer"),
        }
        assert!(matches!(challenge(&offers[..1]), Some(Challenge::Basic)));
        assert!(challenge(&["Bearer service=\"s\"".to_owned()]).is_none());
        assert!(challenge(&["Negotiate".to_owned()]).is_none());
    }
}
