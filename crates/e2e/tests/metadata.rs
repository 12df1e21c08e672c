//! What a task is told about itself, by Google's own libraries; and who may check it.

use e2e::Lab;
use serde_json::Value;

/// The ids of the published keys.
fn keys(lab: &Lab) -> Vec<Value> {
    let reply = lab.call("GET", "/oauth2/v3/certs", None);
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let set = reply.json();
    let keys = set["keys"].as_array().expect("a list");
    keys.iter().map(|key| key["kid"].clone()).collect()
}

#[test]
fn the_keys_of_tokens_outlive_the_server() {
    let mut lab = Lab::start();
    let before = keys(&lab);
    assert_eq!(before.len(), 1, "{before:?}");
    lab.kill();
    lab.launch();
    assert_eq!(keys(&lab), before);
    let discovery = lab.call("GET", "/.well-known/openid-configuration", None).json();
    assert_eq!(discovery["issuer"], lab.url(), "{discovery}");
    assert_eq!(discovery["jwks_uri"], format!("{}/oauth2/v3/certs", lab.url()));
    lab.finish();
}
