//! What an image is called: registry references by Docker's grammar and defaults, and files on this machine.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::digest::Digest;

/// The registry that a reference without one means.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// Longest repository name, as in Docker's grammar.
const REPOSITORY_MAX: usize = 255;

/// Longest tag, as in Docker's grammar.
const TAG_MAX: usize = 128;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `[registry/]repository[:tag][@digest]`
    Remote(Remote),
    /// `oci:PATH[:tag]`: a directory in the OCI image layout. The path ends at the first colon.
    Layout {
        /// The directory.
        path: PathBuf,
        /// `org.opencontainers.image.ref.name`; not needed where the layout holds one image.
        tag: Option<String>,
    },
    /// `docker-archive:PATH[:reference]`: what `docker save` writes, also gzipped. The path ends at the first colon.
    Archive {
        /// The file.
        path: PathBuf,
        /// One of its `RepoTags`; not needed where the archive holds one image.
        image: Option<String>,
    },
    /// `sha256:…`: an image that is on this machine already.
    Here(Digest),
}

/// A reference to an image in a registry, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// Host and port, as written: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub registry: String,
    /// Such as `library/busybox`.
    pub repository: String,
    /// Present unless only a digest was given.
    pub tag: Option<String>,
    /// Wins over the tag.
    pub digest: Option<Digest>,
}

/// The text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an image reference: {why}")]
pub struct Malformed {
    text: String,
    why: String,
}

impl FromStr for Reference {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = |why: String| Malformed { text: text.chars().take(300).collect(), why };
        if text.starts_with("sha256:") {
            return text.parse().map(Self::Here).map_err(|_| {
                malformed("a digest alone is sha256: and 64 lower-case hex digits".to_owned())
            });
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = path_and_name(rest, "oci:").map_err(malformed)?;
            return Ok(Self::Layout { path, tag });
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (path, image) = path_and_name(rest, "docker-archive:").map_err(malformed)?;
            return Ok(Self::Archive { path, image });
        }
        remote(text).map(Self::Remote).map_err(malformed)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, name) = match self {
            Self::Remote(remote) => return remote.fmt(f),
            Self::Here(digest) => return digest.fmt(f),
            Self::Layout { path, tag } => ("oci", path, tag),
            Self::Archive { path, image } => ("docker-archive", path, image),
        };
        write!(f, "{scheme}:{}", path.display())?;
        name.iter().try_for_each(|name| write!(f, ":{name}"))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn path_and_name(rest: &str, scheme: &str) -> Result<(PathBuf, Option<String>), String> {
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => (path, Some(name)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(format!("{scheme} is followed by a path"));
    }
    if name == Some("") {
        return Err("nothing follows the last colon".to_owned());
    }
    Ok((path.into(), name.map(str::to_owned)))
}

fn remote(text: &str) -> Result<Remote, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            (rest, Some(digest.parse::<Digest>().map_err(|err| err.to_string())?))
        }
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    let tag = match (tag, digest) {
        (Some(tag), _) => Some(checked_tag(tag)?.to_owned()),
        (None, Some(_)) => None,
        (None, None) => Some("latest".to_owned()),
    };
    let (registry, path) = split_registry(name);
    check_registry(registry)?;
    check_repository(path)?;
    let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
    let repository = if registry == DOCKER_HUB && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    Ok(Remote { registry: registry.to_owned(), repository, tag, digest })
}

/// A colon after the last slash begins the tag; one before it belongs to the port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !tag.ends_with(']') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first component is a registry if it could not be a part of a repository on Docker Hub.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_HUB, name),
    }
}

fn checked_tag(tag: &str) -> Result<&str, String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    let well_formed = bytes.first().is_some_and(|&first| word(first))
        && bytes.len() <= TAG_MAX
        && bytes.iter().all(|&byte| word(byte) || byte == b'.' || byte == b'-');
    if well_formed {
        Ok(tag)
    } else {
        Err(format!(
            "the tag {tag:?} is not 1 to {TAG_MAX} letters, digits, '_', '.' and '-', beginning with a letter, digit or '_'"
        ))
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let wrong = || Err(format!("{registry:?} is not a registry's host name and port"));
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("v6", port.strip_prefix(':').or((!port.is_empty()).then_some("")))
            }
            _ => return wrong(),
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !host.split('.').all(label) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return wrong();
    }
    Ok(())
}

fn check_repository(path: &str) -> Result<(), String> {
    if path.len() > REPOSITORY_MAX {
        return Err(format!("the repository is longer than {REPOSITORY_MAX} characters"));
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("a repository is written in lower case".to_owned());
    }
    match path.split('/').find(|component| !well_formed(component)) {
        None => Ok(()),
        Some("") => Err("a part of the repository is empty".to_owned()),
        Some(component) => Err(format!(
            "{component:?} is not lower-case letters and digits with single '.', one or two '_' or any '-' between them"
        )),
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn well_formed(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator =
        |s: &str| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|byte| byte == b'-');
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.split(alphanumeric).all(separator)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> String {
        text.parse::<Reference>().map(|reference| reference.to_string()).unwrap_or_else(|err| {
            panic!("{err}");
        })
    }

    #[test]
    fn dockers_defaults_are_filled_in() {
        let sha = format!("sha256:{}", "a".repeat(64));
        for (text, whole) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("me/app:1", "docker.io/me/app:1"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"),
            ("[::1]:5000/app", "[::1]:5000/app:latest"),
            ("Registry/app", "Registry/app:latest"),
            (
                "us-docker.pkg.dev/cloudrun/container/job",
                "us-docker.pkg.dev/cloudrun/container/job:latest",
            ),
            ("builtin.groundrun/job", "builtin.groundrun/job:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        ] {
            assert_eq!(normal(text), whole);
        }
        assert_eq!(normal(&format!("app@{sha}")), format!("docker.io/library/app@{sha}"));
        assert_eq!(normal(&format!("app:2@{sha}")), format!("docker.io/library/app:2@{sha}"));
        assert_eq!(normal(&sha), sha);
    }

    #[test]
    fn files_end_at_the_first_colon() {
        let oci = "oci:/images/app:v1".parse();
        assert_eq!(
            oci,
            Ok(Reference::Layout { path: "/images/app".into(), tag: Some("v1".into()) })
        );
        let archive = "docker-archive:/a.tar:localhost:5000/app:v1".parse();
        let image = Some("localhost:5000/app:v1".into());
        assert_eq!(archive, Ok(Reference::Archive { path: "/a.tar".into(), image }));
        let bare = "docker-archive:a.tar".parse();
        assert_eq!(bare, Ok(Reference::Archive { path: "a.tar".into(), image: None }));
    }

    #[test]
    fn what_docker_refuses_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "empty"),
            ("App", "lower case"),
            ("app:", "tag"),
            ("app:-x", "tag"),
            ("a//b", "empty"),
            ("a..b", "between them"),
            ("a___b", "between them"),
            ("-a", "between them"),
            ("app@sha256:00", "64"),
            ("app@sha512:00", "sha256"),
            ("host:port/app", "host name and port"),
            ("[::1/app", "host name and port"),
            ("http://host/app", "host name and port"),
            ("oci:", "path"),
            ("oci:/x:", "colon"),
            ("sha256:00", "64"),
            ("a b", "between them"),
        ] {
            let err = text.parse::<Reference>().expect_err(text).to_string();
            assert!(err.contains(why), "{text}: {err}");
        }
        assert!("a/".repeat(200).parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn the_whole_form_reads_back_as_itself(text in "[a-zA-Z0-9./:@_\\[\\]-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
            }
        }
    }
}
