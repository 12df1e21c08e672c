//! Why an image cannot be had, told apart by what the asker will do about it.

use std::io;

use groundrun_core::port::{ImageFault, ImageFaultKind};

/// Why an image cannot be had. The message is for a person, in one line, with what to do where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind of fault: decides whether trying again may help.
    pub kind: ImageFaultKind,
    /// For a person.
    pub message: String,
}

impl Fault {
    /// It is not there.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(ImageFaultKind::Missing, message)
    }

    /// It may not be had with these credentials.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(ImageFaultKind::PermissionDenied, message)
    }

    /// It exists but cannot be used, however often one tries.
    pub(crate) fn unusable(message: impl Into<String>) -> Self {
        Self::new(ImageFaultKind::Unusable, message)
    }

    /// Nobody answered, or this machine cannot at the moment: trying again may help.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ImageFaultKind::Unreachable, message)
    }

    /// This machine's disk, while `doing`. Trying again helps once there is room.
    pub(crate) fn disk(doing: impl std::fmt::Display, err: &io::Error) -> Self {
        let advice = match err.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "; free some space in the data directory's file system"
            }
            io::ErrorKind::PermissionDenied => {
                "; the data directory must be on a file system whose files can be given to other ids"
            }
            _ => "",
        };
        Self::unreachable(format!("{doing}: {err}{advice}"))
    }

    /// With `context` before the message.
    pub(crate) fn within(self, context: impl std::fmt::Display) -> Self {
        Self { message: format!("{context}: {}", self.message), ..self }
    }

    /// As the port says it, about the image as written.
    pub(crate) fn about(self, image: &str) -> ImageFault {
        ImageFault { kind: self.kind, image: image.to_owned(), message: self.message }
    }

    fn new(kind: ImageFaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
