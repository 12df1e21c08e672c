//! Parsers of flag values, spelled as gcloud spells them.

use std::net::SocketAddr;

/// `10m`, `90s`, `1h30m`, `600`: seconds.
pub(crate) fn seconds(text: &str) -> Result<i32, String> {
    let wrong = || format!("{text:?} is not a duration such as 90s, 10m or 1h30m");
    if let Ok(plain) = text.parse::<i32>() {
        return if plain > 0 { Ok(plain) } else { Err(wrong()) };
    }
    let mut total: i64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let number: i64 = digits.parse().map_err(|_| wrong())?;
        total = number.checked_mul(unit).and_then(|s| total.checked_add(s)).ok_or_else(wrong)?;
        digits.clear();
    }
    if !digits.is_empty() || total == 0 {
        return Err(wrong());
    }
    i32::try_from(total).map_err(|_| wrong())
}

/// `127.0.0.1:8080`, `[::1]:0`; `localhost` is the first of its names.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let numbers = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numbers
        .parse()
        .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8080".to_owned())
}

/// A list as gcloud writes it: `a,b`, or `^;^a,b;c` with a separator of one's own.
pub(crate) fn list(text: &str) -> Vec<String> {
    let (separator, rest) = match text.strip_prefix('^').and_then(|t| t.split_once('^')) {
        Some((separator, rest)) if !separator.is_empty() => (separator, rest),
        _ => (",", text),
    };
    if rest.is_empty() { Vec::new() } else { rest.split(separator).map(str::to_owned).collect() }
}

/// `K=V,L=M`.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    list(text)
        .into_iter()
        .map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("{item:?} is not KEY=VALUE")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_gcloud_reads_them() {
        for (text, expected) in
            [("600", 600), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("7d", 604_800)]
        {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "-5", "m", "10x", "5m3", "99999999999h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_a_number_and_a_port() {
        assert_eq!(address("127.0.0.1:80"), Ok(([127, 0, 0, 1], 80).into()));
        assert_eq!(address("localhost:80"), Ok(([127, 0, 0, 1], 80).into()));
        for text in ["localhost", "8080", "example.com:80", "127.0.0.1:port"] {
            assert!(address(text).is_err_and(|e| e.contains("127.0.0.1:8080")), "{text}");
        }
    }

    #[test]
    fn lists_take_a_separator_of_ones_own() {
        assert_eq!(list("a,b"), ["a", "b"]);
        assert_eq!(list("^;^a,b;c"), ["a,b", "c"]);
        assert_eq!(list(""), Vec::<String>::new());
    }

    #[test]
    fn pairs_name_the_item_that_is_wrong() {
        assert_eq!(
            pairs("A=1,B=x=y"),
            Ok(vec![("A".into(), "1".into()), ("B".into(), "x=y".into())])
        );
        assert_eq!(pairs("A=1,=2"), Err("\"=2\" is not KEY=VALUE".into()));
    }
}
