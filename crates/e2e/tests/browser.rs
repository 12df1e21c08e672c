//! A web page in the user's browser must not be able to start containers: the guards, against the real binary.

use std::fs;

use e2e::{
    Lab, Options,
    document::{BUILT_IN, job},
    http::{self, Reply},
    lab::PROJECT,
};

const JSON: &str = "Content-Type: application/json";

/// What a page would send to start a job.
struct Page<'l> {
    lab: &'l Lab,
    target: String,
}

impl<'l> Page<'l> {
    fn of(lab: &'l Lab) -> Self {
        lab.create(&job("prey", BUILT_IN, &["true"]));
        Self { lab, target: lab.path("jobs/prey:run") }
    }

    fn own_host(&self) -> String {
        format!("Host: localhost:{}", self.lab.address().port())
    }

    fn send(&self, headers: &[&str]) -> Reply {
        http::send(self.lab.address(), "POST", &self.target, headers, b"{}").expect("an answer")
    }

    /// Refused, with these words, and nothing was started.
    #[track_caller]
    fn check_refused(&self, headers: &[&str], status: u16, words: &str) {
        let before = self.executions();
        let reply = self.send(headers);
        let text = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, status, "{headers:?}: {text}");
        assert!(text.contains(words), "{headers:?}: {text}");
        assert!(!reply.head.to_ascii_lowercase().contains("access-control"), "{}", reply.head);
        assert_eq!(self.executions(), before, "{headers:?} started something");
    }

    #[track_caller]
    fn check_taken(&self, headers: &[&str]) {
        let reply = self.send(headers);
        assert_eq!(reply.status, 200, "{headers:?}: {}", String::from_utf8_lossy(&reply.body));
    }

    fn executions(&self) -> usize {
        self.lab.ok("GET", "executions", None)["items"].as_array().map_or(0, Vec::len)
    }
}

#[test]
fn a_foreign_name_of_this_machine_is_refused() {
    let lab = Lab::start();
    let page = Page::of(&lab);
    let port = lab.address().port();
    // What a page of attacker.example sends after its name was pointed at 127.0.0.1.
    for host in ["attacker.example", "localhost.attacker.example", "192.0.2.7"] {
        let header = format!("Host: {host}:{port}");
        page.check_refused(&[&header, JSON], 403, &format!("not called '{host}'"));
    }
    page.check_refused(&[JSON], 400, "Host");
    for host in ["localhost", "127.0.0.1", "[::1]", "us-central1-localhost", "run.groundrun.test"] {
        page.check_taken(&[&format!("Host: {host}:{port}"), JSON]);
    }
    lab.all_completed();
    lab.finish();
}

#[test]
fn a_public_name_is_taken_when_it_was_given() {
    let flags = vec!["--public-name".to_owned(), "jobs.example".to_owned()];
    let lab = Lab::with(Options { flags, ..Options::default() });
    let page = Page::of(&lab);
    page.check_taken(&["Host: jobs.example", JSON]);
    page.check_taken(&["Host: us-central1-jobs.example", JSON]);
    page.check_refused(&["Host: other.example", JSON], 403, "--public-name other.example");
    lab.all_completed();
    lab.finish();
}

#[test]
fn a_page_of_another_origin_is_refused() {
    let lab = Lab::start();
    let page = Page::of(&lab);
    let (host, port) = (page.own_host(), lab.address().port());
    let other_port = format!("Origin: http://localhost:{}", port.wrapping_add(1));
    for origin in ["Origin: https://attacker.example", "Origin: null", &other_port] {
        page.check_refused(&[&host, JSON, origin], 403, "another origin");
    }
    for site in ["cross-site", "same-site"] {
        let header = format!("Sec-Fetch-Site: {site}");
        page.check_refused(&[&host, JSON, &header], 403, "another site");
    }
    let own = format!("Origin: http://localhost:{port}");
    page.check_taken(&[&host, JSON, &own, "Sec-Fetch-Site: same-origin"]);
    page.check_taken(&[&host, JSON, "Sec-Fetch-Site: none"]);
    // What a browser asks before a request that is not simple: nobody is let in.
    let asks = [&*host, "Origin: https://attacker.example", "Access-Control-Request-Method: POST"];
    let reply = http::send(lab.address(), "OPTIONS", &page.target, &asks, b"").expect("an answer");
    assert!(reply.status >= 400, "{reply:?}");
    assert!(!reply.head.to_ascii_lowercase().contains("access-control-allow"), "{}", reply.head);
    lab.all_completed();
    lab.finish();
}

#[test]
fn a_body_that_a_form_can_send_is_refused() {
    let lab = Lab::start();
    let page = Page::of(&lab);
    let host = page.own_host();
    page.check_refused(&[&host], 400, "application/json");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let header = format!("Content-Type: {kind}");
        page.check_refused(&[&host, &header], 400, "application/json");
    }
    page.check_taken(&[&host, "Content-Type: application/json; charset=UTF-8"]);
    lab.all_completed();
    lab.finish();
}

#[test]
fn with_a_token_nobody_comes_in_without_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    fs::write(&file, "a-token-of-the-test-0123456789\n").expect("written");
    let flags = vec!["--token-file".to_owned(), file.display().to_string()];
    let lab = Lab::with(Options { flags, ..Options::default() });
    let host = format!("Host: localhost:{}", lab.address().port());
    let get = |headers: &[&str]| {
        http::send(lab.address(), "GET", &lab.path("jobs"), headers, b"").expect("an answer")
    };
    for wrong in
        ["", "Authorization: Bearer wrong", "Authorization: Basic a-token-of-the-test-0123456789"]
    {
        let headers = [&*host, wrong];
        let headers = if wrong.is_empty() { &headers[..1] } else { &headers };
        let reply = get(headers);
        assert_eq!(reply.status, 401, "{headers:?}: {reply:?}");
        assert_eq!(reply.json()["error"]["status"], "UNAUTHENTICATED");
    }
    let right = "Authorization: Bearer a-token-of-the-test-0123456789";
    assert_eq!(get(&[&host, right]).status, 200);
    // The token is no pass for pages.
    let reply = get(&[&host, right, "Origin: https://attacker.example"]);
    assert_eq!(reply.status, 403, "{reply:?}");
    lab.finish();
}

#[test]
fn a_request_through_the_proxy_name_is_taken_and_of_other_names_is_not_passed_on() {
    let lab = Lab::start();
    let page = Page::of(&lab);
    let path = format!("/apis/run.googleapis.com/v1/namespaces/{PROJECT}/jobs/prey:run");
    let absolute = |authority: &str, host: &str| {
        let target = format!("http://{authority}{path}");
        let host = format!("Host: {host}");
        http::send(lab.address(), "POST", &target, &[&host, JSON], b"{}").expect("an answer")
    };
    for name in ["run.groundrun.test", "us-central1-run.groundrun.test"] {
        let reply = absolute(name, name);
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }
    let before = page.executions();
    // The target counts, not the header beside it.
    let reply = absolute("attacker.example", "run.groundrun.test");
    assert_eq!(reply.status, 403, "{}", String::from_utf8_lossy(&reply.body));
    assert_eq!(page.executions(), before);
    lab.all_completed();
    lab.finish();
}
