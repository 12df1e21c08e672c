//! A machine made of network namespaces, for tests of what tasks reach; nothing of it touches the network of this one.
//!
//! ```text
//!  machine ── br0 10.8.0.0/24 ── neighbour 10.8.0.2, which leads to 10.77.0.5
//!     └────── up0 198.51.100.1 ── outside 198.51.100.2, 203.0.113.9
//! ```

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::images;

/// In the network of `br0`, at the end of a way that begins at [`NEIGHBOUR`].
pub const BEHIND: &str = "10.77.0.5";

/// The machine's neighbour on `br0`.
pub const NEIGHBOUR: &str = "10.8.0.2";

/// Outside, where the machine's default way leads.
pub const PUBLIC: &str = "203.0.113.9";

/// Where each of them answers, with the address that it is asked from.
pub const PORT: u16 = 7000;

/// The namespaces, which end with the value.
pub struct Town {
    machine: Namespace,
    neighbour: Namespace,
    outside: Namespace,
    services: Vec<Child>,
}

/// Kept by a process that waits for the end of its input.
struct Namespace {
    keeper: Child,
}

impl Namespace {
    fn new() -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo made && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let said = keeper.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it says so");
        assert_eq!(line, "made\n", "a network namespace needs root and the program ip (iproute2)");
        Self { keeper }
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.id())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).args(words);
        command
    }

    fn ip(&self, line: &str) {
        let words: Vec<&str> = ["ip"].into_iter().chain(line.split(' ')).collect();
        let status = self.command(&words).status().expect("nsenter runs");
        assert!(status.success(), "ip {line}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

impl Town {
    /// Makes it, and puts the calling thread into the machine for good: what it starts from then on is there too.
    pub fn enter() -> Self {
        let (machine, neighbour, outside) = (Namespace::new(), Namespace::new(), Namespace::new());
        let (of_neighbour, of_outside) = (neighbour.keeper.id(), outside.keeper.id());
        machine.ip("link add br0 type bridge");
        machine.ip("link set br0 up");
        machine.ip(&format!(
            "link add toward master br0 type veth peer name eth0 netns {of_neighbour}"
        ));
        machine.ip("link set toward up");
        machine.ip(&format!("link add up0 type veth peer name eth0 netns {of_outside}"));
        machine.ip("link set up0 up");
        machine.ip("address add 198.51.100.1/24 dev up0");
        machine.ip("route add default via 198.51.100.2");
        neighbour.ip(&format!("address add {NEIGHBOUR}/24 dev eth0"));
        neighbour.ip("link set eth0 up");
        neighbour.ip(&format!("address add {BEHIND}/32 dev lo"));
        outside.ip("address add 198.51.100.2/24 dev eth0");
        outside.ip("link set eth0 up");
        outside.ip(&format!("address add {PUBLIC}/32 dev lo"));
        let mut town = Self { machine, neighbour, outside, services: Vec::new() };
        town.services = vec![serve(&town.neighbour), serve(&town.outside)];
        let namespace = File::open(town.machine.path()).expect("it is there");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("it can be entered");
        town
    }

    /// What the program `ip` says of the machine.
    pub fn links(&self) -> String {
        let output = self.machine.command(&["ip", "-br", "link"]).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Changes something of the machine.
    pub fn ip(&self, line: &str) {
        self.machine.ip(line);
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        for service in &mut self.services {
            service.kill().ok();
            service.wait().ok();
        }
    }
}

/// Answers every connection with the address that it comes from.
fn serve(namespace: &Namespace) -> Child {
    const SERVICE: &str = "\
import socketserver, sys
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.client_address[0].encode())
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(('0.0.0.0', int(sys.argv[1])), Answer)
print('listens', flush=True)
server.serve_forever()
";
    let python = images::which("python3").display().to_string();
    let mut service = namespace
        .command(&[&python, "-c", SERVICE, &PORT.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let said = service.stdout.take().expect("it is piped");
    BufReader::new(said).read_line(&mut line).expect("it says so");
    assert_eq!(line, "listens\n");
    service
}
