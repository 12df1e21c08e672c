//! The machine's resolvers, as its /etc/resolv.conf names them now.

use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// Gives the resolvers to ask, in order. Called for each query: a laptop that moved has others.
pub type Resolvers = Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>;

/// As many as resolv.conf(5) has.
const RESOLVERS_MAX: usize = 3;

/// Real files have some hundred bytes.
const BYTES_MAX: u64 = 64 << 10;

const PORT: u16 = 53;

/// Those of /etc/resolv.conf. The server asks them from the machine's own network, where 127.0.0.53 is the machine's.
pub fn of_the_machine() -> Resolvers {
    Arc::new(|| {
        let mut text = String::new();
        // What cannot be read names none.
        let _ = File::open("/etc/resolv.conf")
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        parse(&text)
    })
}

/// Lines `nameserver ADDRESS`. Without any, the machine's own, as resolv.conf(5) says. An address with a scope
/// (`fe80::1%eth0`) is left out: it means something to one interface only.
fn parse(text: &str) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let is_one = words.next()? == "nameserver";
            let address: IpAddr = words.next()?.parse().ok()?;
            is_one.then_some(SocketAddr::new(address, PORT))
        })
        .take(RESOLVERS_MAX)
        .collect();
    if found.is_empty() {
        found.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_in_order_and_what_is_no_resolver_is_left_alone() {
        let text = "# nameserver 9.9.9.9\nsearch lan\nnameserver 127.0.0.53\n nameserver\t2001:db8::1 # x\n\
                    nameserver fe80::1%eth0\noptions edns0 trust-ad\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.53:53", "[2001:db8::1]:53", "192.0.2.1:53"]);
        assert_eq!(parse("options x\n"), [SocketAddr::from(([127, 0, 0, 1], 53))]);
    }
}
