//! Takes in the news of backend and images.

use groundrun_core::{
    id::ExecutionUid,
    mutant,
    observe::{self, Heard},
    port::{News, Observation},
};
use jiff::Timestamp;

use super::{All, Brain, later};
use crate::journal::Journal;

impl<J: Journal> Brain<J> {
    pub(super) fn hear(&mut self, news: News, now: Timestamp) {
        match news {
            News::Checked { job, generation, result } => {
                let readiness = self.checks.hear(job, generation, result, now);
                self.readiness.extend(readiness.map(|readiness| (job, readiness)));
            }
            News::Attempt { id, .. } => self.hear_about(id.execution, news, now),
            News::Imported { execution, .. } => self.hear_about(execution, news, now),
        }
    }

    fn hear_about(&mut self, uid: ExecutionUid, news: News, now: Timestamp) {
        let ended = match &news {
            News::Attempt { id, seen: Observation::Ended { .. } } => Some(*id),
            _ => None,
        };
        let unread = self.may_be_unread(uid);
        let heard = match self.runs.get_mut(&uid) {
            Some(run) => observe::observe(run, news, now),
            // Not known whether it is over: it is asked about once its record can be read.
            None if unread => Heard::Stranger,
            None => Heard::Known,
        };
        match (heard, ended) {
            (Heard::News, _) => {
                self.concerned.insert(uid);
            }
            (Heard::Known, Some(id)) if !mutant!("known_ends_ignored") => {
                self.known_ends.insert(id);
            }
            (Heard::Known | Heard::Stranger, _) => {}
        }
    }

    fn may_be_unread(&self, uid: ExecutionUid) -> bool {
        self.unread.all == All::Unread || self.unread.executions.contains(&uid)
    }

    pub(super) fn resync_if_due(&mut self, now: Timestamp) {
        // A clock that was set back must not put it off.
        let soon = self.next_resync <= later(now, self.config.resync);
        if (now < self.next_resync && soon) || mutant!("never_asks_again") {
            return;
        }
        self.next_resync = later(now, self.config.resync);
        self.checks.resync(now);
        for (uid, run) in &mut self.runs {
            run.resync();
            self.concerned.insert(*uid);
        }
    }
}
