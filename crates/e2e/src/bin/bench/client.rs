//! A client on one kept connection, as quick as a client can be: what is measured is the server.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("set");
        Self {
            stream: BufReader::new(stream),
            host: format!("{}-localhost:{}", e2e::lab::REGION, address.port()),
        }
    }

    pub(crate) fn get(&mut self, target: &str) -> Value {
        self.call("GET", target, "")
    }

    fn call(&mut self, method: &str, target: &str, body: &str) -> Value {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if !body.is_empty() {
            request.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        request.push_str("\r\n");
        request.push_str(body);
        self.stream.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a head");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    /// POST `:run`, then GET until Completed is True, with `pause` between two looks: none where latency is measured,
    /// some where looking would take the processor from the tasks.
    pub(crate) fn run_to_completion(&mut self, job: &str, pause: Duration) {
        let base = format!("/apis/run.googleapis.com/v1/namespaces/{}", e2e::lab::PROJECT);
        let execution = self.call("POST", &format!("{base}/jobs/{job}:run"), "{}");
        let name = execution["metadata"]["name"]
            .as_str()
            .unwrap_or_else(|| panic!("{execution}"))
            .to_owned();
        loop {
            let execution = self.get(&format!("{base}/executions/{name}"));
            match e2e::lab::status_of(&execution, "Completed").as_str() {
                "True" => return,
                "False" => panic!("{execution}"),
                _ => rest(pause),
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the pause between two looks at an execution")]
fn rest(pause: Duration) {
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
}
