//! Who may speak to this server. A web page in the user's browser must not be able to start containers.
//!
//! Each check looks at headers alone and names what would let the request pass.

use axum::http::{HeaderMap, Method, header, request::Parts};
use groundrun_api::ApiError;

use crate::{
    config::ServerConfig,
    error::{Outcome, Refusal},
    place::{host_of, is_our_name, split_region},
};

/// All checks of a request's head.
pub(crate) fn check(config: &ServerConfig, head: &Parts) -> Outcome<()> {
    let authority = authority(head)?;
    check_host(config, &authority)?;
    check_origin(&head.headers, &authority)?;
    check_token(config, &head.headers)
}

/// What the client calls this server: the authority of an absolute-form target (a proxy's), else the Host header.
pub(crate) fn authority(head: &Parts) -> Outcome<String> {
    if let Some(authority) = head.uri.authority() {
        return Ok(authority.as_str().to_owned());
    }
    text(&head.headers, header::HOST.as_str())
        .map(str::to_owned)
        .ok_or_else(|| Refusal::invalid("the request has no Host header"))
}

/// Against DNS rebinding: a foreign site's name that resolves to this machine is refused.
fn check_host(config: &ServerConfig, authority: &str) -> Outcome<()> {
    let host = host_of(authority);
    let base = split_region(&host).map_or(host.as_str(), |(_, base)| base);
    // Off loopback every call carries the token, and an address cannot be rebound.
    let address = !config.listen.ip().is_loopback() && base.parse::<std::net::IpAddr>().is_ok();
    if address
        || is_our_name(base, &config.public_names)
        || is_our_name(&host, &config.public_names)
    {
        return Ok(());
    }
    Err(Refusal::forbidden(format!(
        "this server is not called '{host}': use localhost, or start it with --public-name {base}"
    )))
}

/// Against cross-site requests: browsers say where a request comes from, programs do not.
fn check_origin(headers: &HeaderMap, authority: &str) -> Outcome<()> {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority)) {
            return Err(Refusal::forbidden(format!(
                "requests of web pages of another origin are refused: {origin}"
            )));
        }
    }
    match headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or("?")) {
        None | Some("same-origin" | "none") => Ok(()),
        Some(site) => Err(Refusal::forbidden(format!(
            "requests of web pages of another site are refused: {site}"
        ))),
    }
}

/// The bearer token, where one is configured.
fn check_token(config: &ServerConfig, headers: &HeaderMap) -> Outcome<()> {
    let Some(token) = &config.token else { return Ok(()) };
    let given =
        text(headers, header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    match given {
        Some((scheme, given))
            if scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim()) =>
        {
            Ok(())
        }
        _ => Err(ApiError::unauthenticated().into()),
    }
}

/// A body that a page of another site can send without being asked for permission is not JSON: JSON is asked for.
pub(crate) fn check_content_type(headers: &HeaderMap) -> Outcome<()> {
    let given = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "the Content-Type of a body must be application/json, and is '{given}'"
    )))
}

/// A GET whose query is too long for a URL comes as a form (fact: clients 1). Nothing else may be overridden.
pub(crate) fn is_get_in_disguise(method: &Method, headers: &HeaderMap) -> Outcome<bool> {
    let Some(wish) = text(headers, "x-http-method-override") else { return Ok(false) };
    if method == Method::POST && wish.eq_ignore_ascii_case("GET") {
        return Ok(true);
    }
    Err(Refusal::invalid(format!(
        "X-HTTP-Method-Override of {method} to '{wish}' is not supported: only of POST to GET"
    )))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
