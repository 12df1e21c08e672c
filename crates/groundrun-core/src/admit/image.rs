//! The form of an image's name. Whether it exists is for the readiness check.

/// A name of a registry's image (`[host[:port]/]path[:tag][@digest]`), an OCI layout (`oci:DIR`) or an archive of
/// `docker save` (`docker-archive:FILE`).
pub(super) fn is_path(text: &str) -> bool {
    if text.len() > 4096 || text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return false;
    }
    match text.strip_prefix("oci:").or_else(|| text.strip_prefix("docker-archive:")) {
        Some(place) => !place.is_empty(),
        None => is_reference(text),
    }
}

fn is_reference(text: &str) -> bool {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    // A colon after the last slash begins a tag; one before it, a port.
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match name[path..].split_once(':') {
        Some((last, tag)) => (&name[..path + last.len()], Some(tag)),
        None => (name, None),
    };
    is_repository(repository) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

fn is_repository(text: &str) -> bool {
    let (host, path) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest)
        }
        _ => (None, text),
    };
    host.is_none_or(is_host) && path.split('/').all(is_component)
}

fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let well_formed = match bracketed {
        Some(address) => address.chars().all(|c| c.is_ascii_hexdigit() || c == ':'),
        None => !name.is_empty() && name.chars().all(named),
    };
    well_formed && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_component(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.chars().all(inside) && text.starts_with(edge) && text.ends_with(edge)
}

fn is_tag(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=128).contains(&text.len()) && text.chars().all(inside) && !text.starts_with(['.', '-'])
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    !algorithm.is_empty()
        && algorithm.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && hex.len() >= 32
        && hex.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_registries_layouts_and_archives_are_told_from_typing_errors() {
        let digest = format!("app@sha256:{}", "0a".repeat(32));
        for good in [
            "busybox",
            "library/busybox:1.36",
            "builtin.groundrun/job",
            "localhost/app",
            "localhost:5000/app:v1",
            "127.0.0.1:5000/a/b_c/d--e",
            "[::1]:5000/app",
            "us-docker.pkg.dev/p/r/Image".to_lowercase().as_str(),
            "oci:/srv/layout",
            "docker-archive:/srv/app.tar",
            &digest,
        ] {
            assert!(is_path(good), "{good}");
        }
        for bad in [
            "Busybox",
            "a b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:-x",
            "a:b:c",
            "a@sha256:xyz",
            "host.example:99999/a",
            "-a",
            "oci:",
            "a\nb",
            "https://host/app",
        ] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
