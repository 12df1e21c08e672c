//! `GET` over HTTP/1.1, as far as its status line. Pure.

use super::Answer;

/// A request and what has come of its answer.
#[derive(Debug)]
pub(super) struct Get {
    request: Vec<u8>,
    sent: usize,
    /// Of the status line.
    heard: Vec<u8>,
}

/// Longer than any status line with a number in it.
const STATUS_LINE_BYTES_MAX: usize = 1024;

impl Get {
    pub(super) fn new(path: &str, port: u16, headers: &[(String, String)]) -> Self {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let mut request = format!("GET {} HTTP/1.1\r\n", line(&path));
        let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        let own = [
            ("Host", format!("localhost:{port}")),
            ("User-Agent", "GoogleHC/1.0".to_owned()),
            ("Accept", "*/*".to_owned()),
        ];
        for (name, value) in own.iter().filter(|(name, _)| !given(name)) {
            request += &format!("{name}: {value}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{}: {}\r\n", line(name), line(value));
        }
        request += "Connection: close\r\n\r\n";
        Self { request: request.into_bytes(), sent: 0, heard: Vec::new() }
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.request.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn was_sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) -> Option<Answer> {
        self.heard.extend_from_slice(bytes);
        let end = self.heard.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => Some(judge(&self.heard[..end])),
            None if self.heard.len() > STATUS_LINE_BYTES_MAX => Some(judge(&[])),
            None => None,
        }
    }
}

/// From 200 to 399 is success, as in Kubernetes.
fn judge(status_line: &[u8]) -> Answer {
    let text = std::str::from_utf8(status_line).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    match words.next().and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=399) if is_http => Ok(()),
        Some(code @ 100..=599) if is_http => Err(format!("HTTP status {code}")),
        _ => Err("the answer is not HTTP".to_owned()),
    }
}

/// Without what would begin another line.
fn line(text: &str) -> String {
    text.chars().filter(|letter| !matches!(letter, '\r' | '\n' | '\0')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_host_and_carries_what_was_given() {
        let headers =
            [("X-Check".to_owned(), "one\r\ntwo".to_owned()), ("host".to_owned(), "db".to_owned())];
        let get = Get::new("/ready?full=1", 8080, &headers);
        let text = String::from_utf8_lossy(get.pending()).into_owned();
        let want = "GET /ready?full=1 HTTP/1.1\r\nUser-Agent: GoogleHC/1.0\r\nAccept: */*\r\n\
                    X-Check: onetwo\r\nhost: db\r\nConnection: close\r\n\r\n";
        assert_eq!(text, want);
        let plain = Get::new("", 80, &[]);
        assert!(plain.pending().starts_with(b"GET / HTTP/1.1\r\nHost: localhost:80\r\n"));
    }

    #[test]
    fn a_status_from_200_to_399_is_success_however_it_arrives() {
        let answer = |parts: &[&str]| {
            let mut get = Get::new("/", 80, &[]);
            parts.iter().find_map(|part| get.hear(part.as_bytes()))
        };
        for good in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 399 x\r\nmore"] {
            assert_eq!(answer(&[good]), Some(Ok(())), "{good:?}");
        }
        assert_eq!(answer(&["HTTP/1", ".1 20", "0 OK\r"]), None);
        assert_eq!(answer(&["HTTP/1", ".1 20", "0 OK\r", "\n"]), Some(Ok(())));
        assert_eq!(answer(&["HTTP/1.1 503 x\n"]), Some(Err("HTTP status 503".to_owned())));
        for bad in
            ["SSH-2.0-x\r\n", "HTTP/1.1 abc\r\n", "HTTP/1.1 99999 x\n", "200 200 200\n", "\n"]
        {
            assert!(matches!(answer(&[bad]), Some(Err(_))), "{bad:?}");
        }
        assert!(matches!(answer(&[&"x".repeat(2000)]), Some(Err(_))));
    }
}
