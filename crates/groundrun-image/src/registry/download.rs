//! A large blob, to a file, hashed on the way. A download that is cut off goes on where it was.

use std::{fs::File, io::Write as _, time::Duration};

use groundrun_core::port::ImageFaultKind;
use reqwest::{Method, Response, StatusCode, header::CONTENT_RANGE};

use super::{
    Registry,
    client::{Ask, piece},
};
use crate::{digest::Hasher, fault::Fault, import::Transfer, manifest::Blob, reference::Remote};

/// Times that one blob is asked for: a connection that breaks five times in one blob will break again.
const TRIES_MAX: u32 = 5;

/// Before the second try; doubled before each further one, so that a registry that restarts has a moment.
const PAUSE: Duration = Duration::from_millis(100);

impl Registry {
    /// Writes the blob into the empty `file`. Writing is not handed to another thread: pieces are small and the page
    /// cache takes them.
    pub(crate) async fn download(
        &self,
        remote: &Remote,
        blob: &Blob,
        file: File,
        transfer: &Transfer,
    ) -> Result<(), Fault> {
        let mut partial = Partial { file, hasher: Hasher::default(), done: 0 };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.go_on(remote, blob, &mut partial, transfer).await {
                Ok(()) => break,
                Err(fault) if fault.kind == ImageFaultKind::Unreachable && tries < TRIES_MAX => {
                    tracing::debug!(digest = %blob.digest, %fault, tries, "a download goes on");
                    tokio::time::sleep(PAUSE * 2u32.pow(tries - 1)).await;
                }
                Err(fault) => {
                    return Err(fault.within(format_args!("download of layer {}", blob.digest)));
                }
            }
        }
        let found = partial.hasher.finish();
        if found != blob.digest {
            return Err(Fault::unusable(format!(
                "the registry is asked for layer {} and sends {found}: it is corrupt there, or was changed on the way",
                blob.digest
            )));
        }
        Ok(())
    }

    async fn go_on(
        &self,
        remote: &Remote,
        blob: &Blob,
        partial: &mut Partial,
        transfer: &Transfer,
    ) -> Result<(), Fault> {
        let path = format!("blobs/{}", blob.digest);
        let ask =
            Ask { remote, method: Method::GET, path: &path, accept: "*/*", from: partial.done };
        let mut response = self.ask(&ask).await.map_err(|fault| match fault.kind {
            ImageFaultKind::Missing => {
                Fault::unusable("the registry has lost it; push the image again")
            }
            _ => fault,
        })?;
        if partial.done > 0 && !continues(&response, partial.done) {
            transfer.take_back(partial.done);
            partial.restart().map_err(|err| Fault::disk("start a download again", &err))?;
        }
        while let Some(piece) = piece(&mut response, self.timeouts.stall)
            .await
            .map_err(|why| self.unreachable(remote, &why))?
        {
            if partial.done + piece.len() as u64 > blob.size {
                return Err(Fault::unusable(format!(
                    "it is longer than the {} bytes of the manifest",
                    blob.size
                )));
            }
            partial.add(&piece).map_err(|err| Fault::disk("keep a download", &err))?;
            transfer.add(piece.len() as u64);
        }
        if partial.done < blob.size {
            let why = format!("it is cut off after {} of {} bytes", partial.done, blob.size);
            return Err(self.unreachable(remote, &why));
        }
        Ok(())
    }
}

struct Partial {
    file: File,
    hasher: Hasher,
    done: u64,
}

impl Partial {
    fn add(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.done += piece.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        std::io::Seek::rewind(&mut self.file)?;
        self.hasher = Hasher::default();
        self.done = 0;
        Ok(())
    }
}

/// Whether the answer begins where it was asked to.
fn continues(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}
