//! A registry in this process: HTTP/1.1 over TCP on loopback, with whatever faults a test asks for.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use groundrun_image::Digest;

use super::image::Image;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// What is answered.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Send only so many bytes of the body, then do this.
    pub(crate) broken: Option<(usize, Broken)>,
}

/// How a body ends early.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    CutOff,
    Stall,
}

impl Reply {
    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Hook = Arc<dyn Fn(&Request, Option<Reply>) -> Option<Reply> + Send + Sync>;

#[derive(Default)]
struct State {
    contents: HashMap<String, (String, Vec<u8>)>,
    log: Vec<Request>,
    hook: Option<Hook>,
}

/// The registry. Connections end with it.
pub(crate) struct Registry {
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(crate) fn listen(listener: TcpListener) -> Self {
        let host = listener.local_addr().expect("bound").to_string();
        let state = Arc::<Mutex<State>>::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = {
            let (state, stopped) = (Arc::clone(&state), Arc::clone(&stopped));
            std::thread::spawn(move || {
                let mut connections = Vec::new();
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        break;
                    }
                    let Ok(stream) = stream else { continue };
                    let state = Arc::clone(&state);
                    connections.push(std::thread::spawn(move || serve(stream, &state)));
                }
                connections.into_iter().for_each(|thread| thread.join().expect("serves"));
            })
        };
        Self { host, state, stopped, thread: Some(thread) }
    }

    /// Offers `image` under `repository` and `tag`; gives its reference.
    pub(crate) fn push(&self, repository: &str, tag: &str, image: &Image) -> String {
        self.document(repository, tag, &image.manifest);
        for (digest, bytes) in image.blobs() {
            self.put(
                &format!("/v2/{repository}/blobs/{digest}"),
                "application/octet-stream",
                &bytes,
            );
        }
        format!("{}/{repository}:{tag}", self.host)
    }

    /// Offers a manifest or an index under its tag and its digest.
    pub(crate) fn document(&self, repository: &str, tag: &str, bytes: &[u8]) {
        let value: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
        let kind = value["mediaType"].as_str().unwrap_or("application/json").to_owned();
        for name in [tag.to_owned(), Digest::of(bytes).to_string()] {
            self.put(&format!("/v2/{repository}/manifests/{name}"), &kind, bytes);
        }
    }

    pub(crate) fn put(&self, path: &str, kind: &str, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.contents.insert(path.to_owned(), (kind.to_owned(), bytes.to_vec()));
    }

    /// `hook` sees each request with the answer that it would get, and says what is answered: `None` is silence.
    pub(crate) fn hook(
        &self,
        hook: impl Fn(&Request, Option<Reply>) -> Option<Reply> + Send + Sync + 'static,
    ) {
        self.state.lock().unwrap().hook = Some(Arc::new(hook));
    }

    pub(crate) fn unhook(&self) {
        self.state.lock().unwrap().hook = None;
    }

    /// `METHOD path` of every request so far.
    pub(crate) fn log(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.log.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().log.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.host);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    let Some(request) = read(&mut reader) else { return };
    let (hook, usual) = {
        let mut state = state.lock().unwrap();
        state.log.push(request.clone());
        (state.hook.clone(), usual(&state, &request))
    };
    // Outside the lock: a hook may hold one request back until another one was answered.
    let reply = match hook {
        Some(hook) => hook(&request, Some(usual)),
        None => Some(usual),
    };
    let Some(reply) = reply else { return wait_for_end(reader) };
    if write(stream, &request, &reply) == Some(Broken::Stall) {
        wait_for_end(reader);
    }
}

/// Says nothing until the other side gives up.
fn wait_for_end(mut reader: BufReader<TcpStream>) {
    let _ = reader.read_to_end(&mut Vec::new());
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn usual(state: &State, request: &Request) -> Reply {
    let Some((kind, bytes)) = state.contents.get(&request.path) else {
        let code = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        return Reply::status(404, code);
    };
    let reply = Reply { status: 200, body: bytes.clone(), ..Reply::default() }
        .with("Content-Type", kind)
        .with("Docker-Content-Digest", Digest::of(bytes).to_string());
    let from = request
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from {
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            let reply = reply.with("Content-Range", range);
            Reply { status: 206, body: bytes[from..].to_vec(), ..reply }
        }
        None => reply,
    }
}

fn write(mut stream: TcpStream, request: &Request, reply: &Reply) -> Option<Broken> {
    let mut head = format!(
        "HTTP/1.1 {} Status\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        for part in [name, ": ", value, "\r\n"] {
            head += part;
        }
    }
    head += "\r\n";
    let body = match (&*request.method, reply.broken) {
        ("HEAD", _) => &[],
        (_, Some((length, _))) => &reply.body[..length.min(reply.body.len())],
        (_, None) => &reply.body[..],
    };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    reply.broken.map(|(_, how)| how)
}
