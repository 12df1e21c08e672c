//! The server of a world: its ticks, and what it comes to do of them before it is killed.

use groundrun_core::{
    id::AttemptId,
    port::{Action, ImageRequest},
};
use groundrun_engine::brain::{Changes, Events, Tick};

use super::world::{Event, World};

impl World {
    pub(super) fn tick(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        self.report.ticks += 1;
        let changes = match std::mem::take(&mut server.missed) {
            true => Changes::Missed,
            false => self.records.get_mut().take_changes(),
        };
        let taken = server.news.len().min(256);
        let news = server.news.drain(..taken).collect();
        for request in server.brain.think(Events { news, changes }, self.now) {
            self.ask(request);
        }
        let now = self.now;
        {
            let mut records = self.records.get_mut();
            // What is stuck was decided earlier, and what it begins is stopped right after.
            if !records.stuck {
                records.barred = records.wish_read.clone();
            }
        }
        let killed = self.goes_wrong(self.odds.killed_in_tick);
        if killed && self.random.per_mille(300) {
            self.server = Some(server);
            return self.kill_server();
        }
        if now < self.records.get().full_until {
            self.report.failed_commits += 1;
        }
        let tick = server.brain.write(now);
        server.tick_at = tick.wake_at.max(now);
        self.server = Some(server);
        self.act(tick, killed);
    }

    pub(super) fn act(&mut self, tick: Tick, killed: bool) {
        let all = tick.actions.len() + tick.images.len();
        let kept = if killed { self.random.below(all as u64 + 1) } else { all as u64 };
        let mut left = kept;
        for action in tick.actions {
            if left == 0 {
                return self.kill_server();
            }
            left -= 1;
            self.apply(&action);
        }
        for request in tick.images {
            if left == 0 {
                return self.kill_server();
            }
            left -= 1;
            self.ask(request);
        }
        if killed {
            return self.kill_server();
        }
        self.wake_server();
    }

    pub(super) fn apply(&mut self, action: &Action) {
        self.tell_trace(action);
        if let Action::Start(spec) = action {
            let fault = self.unlawful_start(spec.id);
            self.machine.faults.extend(fault);
            self.report.starts += u64::from(!self.machine.born.contains(&spec.id));
        }
        let effects = self.machine.apply(action, &mut self.random, self.now);
        self.follow(effects);
    }

    /// A start must be on disk as intended, not over, and nobody may wish otherwise.
    pub(super) fn unlawful_start(&self, id: AttemptId) -> Option<String> {
        let records = self.records.get();
        if records.barred.contains(&id.execution) {
            return Some(format!("{id} is started after its execution was to stop"));
        }
        match records.attempts.get(&id) {
            None => Some(format!("{id} is started without having been intended")),
            Some(attempt) if attempt.ended.is_some() => {
                Some(format!("{id} is started after its end was written"))
            }
            Some(_) => None,
        }
    }

    pub(super) fn ask(&mut self, request: ImageRequest) {
        self.tell_trace(&request);
        self.registry.ask(&request);
        match request {
            ImageRequest::Release(_) => self.answer(&request),
            request => {
                let later = self.now + self.random.millis(3000);
                self.at(later, Event::Image { life: self.life, request });
            }
        }
    }
}
