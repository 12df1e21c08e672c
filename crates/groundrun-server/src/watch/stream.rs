//! One watch, as it goes: waits for a commit, tells what it changed, remembers how far that was.
//!
//! It is pulled: nothing is read before the client has taken what was sent before. One that is too slow finds the changes
//! that it missed forgotten, is told so, and lists again. While nothing changes it costs nothing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use groundrun_core::render::ChangePlace;
use groundrun_store::Watcher;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use super::{event, request::Watch};
use crate::{app::App, error::Refusal};

/// In the words of Kubernetes, and what to do.
pub(super) const EXPIRED: &str = "too old resource version: the changes since then are not kept any more. List again, \
                                  and watch from the list's metadata.resourceVersion.";

/// A watch under way.
pub(super) struct Stream {
    app: Arc<App>,
    watch: Arc<Watch>,
    news: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    /// How far it has told.
    place: ChangePlace,
    /// To be sent before anything else.
    first: Vec<u8>,
    until: Instant,
    bookmark: Option<Bookmark>,
    over: Over,
    _watcher: Watcher,
    _slot: OwnedSemaphorePermit,
}

struct Bookmark {
    due: Instant,
    /// What the client knows without one.
    known: ChangePlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    No,
    Yes,
}

impl Stream {
    pub(super) fn new(
        app: Arc<App>,
        watch: Arc<Watch>,
        (news, watcher): (Arc<Notify>, Watcher),
        slot: OwnedSemaphorePermit,
        place: ChangePlace,
    ) -> Self {
        let stopping = app.stopping.subscribe();
        Self {
            app,
            watch,
            news,
            stopping,
            place,
            first: Vec::new(),
            until: Instant::now(),
            bookmark: None,
            over: Over::No,
            _watcher: watcher,
            _slot: slot,
        }
    }

    pub(super) fn beginning_with(self, first: Vec<u8>) -> Self {
        Self { first, ..self }
    }

    pub(super) fn until(self, until: Instant) -> Self {
        Self { until, ..self }
    }

    /// With one at once, behind what there is: it says from where to go on also where there is nothing.
    pub(super) fn with_bookmarks(mut self) -> Self {
        self.bookmark = Some(Bookmark { due: Instant::now(), known: self.place });
        let first = self.make_bookmark();
        self.first.extend(first);
        self
    }

    /// Its lines, until it ends.
    pub(super) fn lines(self) -> impl futures_util::Stream<Item = Bytes> {
        stream::unfold(self, |mut this| async move { this.next().await.map(|text| (text, this)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first).into());
        }
        while self.over == Over::No {
            match self.look().await {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Some(text.into()),
                Err(last) => {
                    self.over = Over::Yes;
                    return Some(last.into());
                }
            }
            if let ChangePlace::Within { .. } = self.place {
                continue;
            }
            let due = self.bookmark.as_ref().filter(|known| known.known != self.place);
            let due = due.map_or(self.until, |bookmark| bookmark.due);
            // Each may be dropped and begun again: a permit of `news` is kept, and so is the wish to stop.
            tokio::select! {
                () = self.news.notified() => {}
                () = stop(&mut self.stopping) => return None,
                () = sleep_until(due.min(self.until)) => {
                    if Instant::now() >= self.until {
                        return None;
                    }
                    let bookmark = self.make_bookmark();
                    return Some(bookmark.into());
                }
            }
        }
        None
    }

    /// What came since, as lines; none where nothing of it is watched. An error is the last line.
    async fn look(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let expired = |_| event::error(410, "Expired", EXPIRED);
        if let ChangePlace::After(since) = self.place {
            let mut concerned = false;
            let look = |changed: &_| concerned |= self.watch.concerns(changed);
            let told = self.app.store.recall(since, None, look).map_err(expired)?;
            if !concerned {
                self.place = ChangePlace::After(told);
                return Ok(Vec::new());
            }
        }
        let (watch, store, place) = (Arc::clone(&self.watch), self.app.store.clone(), self.place);
        let told = self.app.read(move |view| watch.tell(view, &store, place)).await;
        let (text, place) = match told {
            Ok(Some(told)) => told,
            Ok(None) => return Err(event::error(410, "Expired", EXPIRED)),
            Err(Refusal(error)) => {
                let code = error.status.http();
                return Err(event::error(code, "InternalError", &error.message));
            }
        };
        self.place = place;
        if self.bookmark.is_some() && !text.is_empty() {
            // The versions of the events say it.
            self.bookmark = Some(Bookmark { due: self.next_bookmark(), known: place });
        }
        Ok(text)
    }

    fn next_bookmark(&self) -> Instant {
        Instant::now() + self.app.config.bookmark_every
    }

    fn make_bookmark(&mut self) -> Vec<u8> {
        let known = self.place;
        self.bookmark = Some(Bookmark { due: self.next_bookmark(), known });
        event::bookmark(self.watch.kind.name(), known.revision())
    }
}

/// Returns once the server stops.
pub(crate) async fn stop(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}
