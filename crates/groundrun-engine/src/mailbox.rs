//! The inbox: news from backend and images, and the word that records changed. Bounded; a thing is in it once.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use groundrun_core::{
    id::{AttemptId, ExecutionUid, JobUid},
    port::{Inbox, News, Observation},
};
use tracing::warn;

/// News that may wait. At some 300 bytes each this is 5 MiB, and more than 4,000 tasks can say in the time of a tick.
const WAITING_MAX: usize = 16_384;

/// News taken at once, so that a tick stays below some 10 ms.
const TAKEN_MAX: usize = 256;

/// How long a teller waits while the inbox is full. After that its news is lost, and the engine asks again by itself.
const TELLER_WAITS_MAX: Duration = Duration::from_secs(1);

/// Where news arrives and waits for the engine.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
    mail: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<Subject>,
    news: HashMap<Subject, News>,
    records: Records,
    closing: Closing,
    lost: u64,
}

/// What a piece of news is about: of two about the same, one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Started(AttemptId),
    Ended(AttemptId),
    Checked(JobUid),
    Imported(ExecutionUid),
}

/// Whether records may have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Records {
    #[default]
    Unchanged,
    Changed,
}

/// Whether the engine is to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Closing {
    #[default]
    No,
    Yes,
}

/// What was taken out.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) news: Vec<News>,
    pub(crate) closing: Closing,
}

impl Mailbox {
    /// An empty one, to be given to the tellers and then to the engine.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Records may have changed.
    pub(crate) fn records_changed(&self) {
        self.lock().records = Records::Changed;
        self.mail.notify_one();
    }

    /// The engine is to stop.
    pub(crate) fn close(&self) {
        self.lock().closing = Closing::Yes;
        self.mail.notify_one();
    }

    /// What came; waits for something to come, at most `timeout`.
    pub(crate) fn take(&self, timeout: Duration) -> Mail {
        let idle = |state: &mut State| {
            state.order.is_empty()
                && state.records == Records::Unchanged
                && state.closing == Closing::No
        };
        let waited = self.mail.wait_timeout_while(self.lock(), timeout, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let taken = state.order.len().min(TAKEN_MAX);
        let subjects: Vec<Subject> = state.order.drain(..taken).collect();
        let news = subjects.iter().filter_map(|subject| state.news.remove(subject)).collect();
        state.records = Records::Unchanged;
        let lost = std::mem::take(&mut state.lost);
        let closing = state.closing;
        drop(state);
        self.room.notify_all();
        if lost > 0 {
            warn!(lost, "the inbox was full: asking again later");
        }
        Mail { news, closing }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox for Mailbox {
    fn tell(&self, news: News) {
        let subject = subject(&news);
        let full = |state: &mut State| {
            state.order.len() >= WAITING_MAX && !state.news.contains_key(&subject)
        };
        let waited = self.room.wait_timeout_while(self.lock(), TELLER_WAITS_MAX, full);
        let (mut state, time) = waited.unwrap_or_else(PoisonError::into_inner);
        if time.timed_out() {
            state.lost += 1;
            return;
        }
        let state = &mut *state;
        match state.news.entry(subject) {
            Entry::Vacant(entry) => {
                entry.insert(news);
                state.order.push_back(subject);
            }
            // An answer that was asked for later knows more. Of an attempt the first word is believed.
            Entry::Occupied(mut entry) => {
                if matches!(subject, Subject::Checked(_) | Subject::Imported(_)) {
                    entry.insert(news);
                }
            }
        }
        self.mail.notify_one();
    }
}

fn subject(news: &News) -> Subject {
    match news {
        News::Attempt { id, seen: Observation::Started { .. } } => Subject::Started(*id),
        News::Attempt { id, seen: Observation::Ended { .. } } => Subject::Ended(*id),
        News::Checked { job, .. } => Subject::Checked(*job),
        News::Imported { execution, .. } => Subject::Imported(*execution),
    }
}

#[cfg(test)]
mod tests {
    use groundrun_core::record::Ending;
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn attempt(task: u32) -> AttemptId {
        AttemptId { execution: ExecutionUid(Uuid::nil()), task, attempt: 0 }
    }

    fn started(task: u32) -> News {
        let seen = Observation::Started { at: Timestamp::UNIX_EPOCH };
        News::Attempt { id: attempt(task), seen }
    }

    fn lost(task: u32, why: &str) -> News {
        let ending = Ending::Lost { why: why.to_owned() };
        let seen = Observation::Ended { at: Timestamp::UNIX_EPOCH, ending };
        News::Attempt { id: attempt(task), seen }
    }

    #[test]
    fn news_comes_in_order_and_each_once() {
        let mailbox = Mailbox::new();
        for news in [started(0), lost(0, "first"), started(1), started(0), lost(0, "second")] {
            mailbox.tell(news);
        }
        let mail = mailbox.take(Duration::ZERO);
        assert_eq!(mail.news, [started(0), lost(0, "first"), started(1)]);
        assert_eq!(mailbox.take(Duration::ZERO).news, []);
    }

    #[test]
    fn a_later_answer_of_the_images_replaces_an_earlier_one() {
        let mailbox = Mailbox::new();
        let checked =
            |generation| News::Checked { job: JobUid(Uuid::nil()), generation, result: Ok(()) };
        mailbox.tell(checked(1));
        mailbox.tell(checked(2));
        assert_eq!(mailbox.take(Duration::ZERO).news, [checked(2)]);
    }

    #[test]
    fn a_tick_takes_only_so_much() {
        let mailbox = Mailbox::new();
        for task in 0..1000 {
            mailbox.tell(started(task));
        }
        let mut taken = Vec::new();
        while taken.len() < 1000 {
            let mail = mailbox.take(Duration::ZERO);
            assert!(mail.news.len() <= TAKEN_MAX);
            taken.extend(mail.news);
        }
        assert_eq!(taken.last(), Some(&started(999)));
    }

    #[test]
    fn who_tells_a_full_inbox_waits_for_room() {
        let mailbox = Mailbox::new();
        for task in 0..u32::try_from(WAITING_MAX).expect("it is small") {
            mailbox.tell(started(task));
        }
        let teller = std::thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.tell(lost(0, "told in a full inbox"))
        });
        let mut news = Vec::new();
        while !news.contains(&lost(0, "told in a full inbox")) {
            let mail = mailbox.take(Duration::from_secs(5));
            assert!(!mail.news.is_empty(), "nothing was told in five seconds");
            news.extend(mail.news);
        }
        teller.join().expect("the teller only tells");
    }

    #[test]
    fn a_change_of_records_wakes_and_is_told_once() {
        let mailbox = Mailbox::new();
        mailbox.records_changed();
        let mail = mailbox.take(Duration::from_secs(60));
        assert!(mail.news.is_empty());
        assert_eq!(mailbox.lock().records, Records::Unchanged);
    }
}
