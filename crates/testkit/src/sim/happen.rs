//! What happens in a world: clients, trouble, and news on its way.

use std::time::Duration;

use groundrun_core::{
    id::{AttemptId, BootId},
    port::{ImageRequest, News, Observation},
    record::Ending,
};
use groundrun_engine::brain::{Brain, BrainConfig};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    backend::Effect,
    clients::JOB,
    world::{Event, RETAINED, Server, TROUBLE_SECONDS, Trace, Trouble, World, uid},
};
use crate::sample::{self, Shape};

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        self.tell_trace(&event);
        match event {
            Event::News { life, news } if life == self.life => self.deliver(news),
            Event::Image { life, request } if life == self.life => self.answer(&request),
            Event::News { .. } | Event::Image { .. } => {}
            Event::Ends(id) => {
                let effect = self.machine.ends(id, &mut self.random, self.now);
                self.follow(effect);
            }
            Event::Run(shape) => self.run(&shape),
            Event::Cancel(number) => {
                let now = self.now;
                self.records.get_mut().wish(uid(number), |execution| {
                    if execution.state.completed.is_none() && execution.wishes.delete.is_none() {
                        execution.wishes.cancel = Some(now);
                        execution.generation += 1;
                    }
                });
            }
            Event::Delete(number) => {
                let now = self.now;
                self.records
                    .get_mut()
                    .wish(uid(number), |execution| execution.wishes.delete = Some(now));
            }
            Event::Replace(letter) => self.replace(letter),
            Event::NewGeneration => {
                let job = self.records.get().jobs.get(&JOB).cloned();
                if let Some(mut job) = job {
                    job.generation += 1;
                    self.records.get_mut().put_job(job);
                }
            }
            Event::Trouble(trouble) => self.go_wrong(trouble),
            Event::Restart => self.start_server(),
        }
        self.wake_server();
    }

    pub(super) fn run(&mut self, shape: &Shape) {
        self.executions += 1;
        let execution = sample::execution(shape, self.executions, self.now);
        if self.random.per_mille(50) {
            self.registry.missing.insert(execution.uid);
        }
        self.records.get_mut().run(execution);
    }

    pub(super) fn go_wrong(&mut self, trouble: Trouble) {
        let until = self.now + self.random.millis(30_000);
        match trouble {
            Trouble::Kill => self.kill_server(),
            Trouble::Reboot => {
                self.kill_server();
                self.machine.reboot();
                self.boot += 1;
                self.records.get_mut().boot = BootId(Uuid::from_u128(self.boot));
            }
            Trouble::KillMonitor => {
                let effect = self.machine.kill_one(&mut self.random, self.now);
                self.follow(effect);
            }
            Trouble::FullDisk => self.records.get_mut().full_until = until,
            Trouble::Unreadable => self.records.get_mut().unreadable_until = until,
            Trouble::SilentRegistry => self.registry.silent_until = until,
            Trouble::MissedChanges => {
                let _ = self.records.get_mut().take_changes();
                if let Some(server) = &mut self.server {
                    server.missed = true;
                }
            }
            Trouble::Stranger => {
                let execution = uid(self.random.below(6).into());
                let [task, attempt] = [9, 1].map(|end| self.random.below(end));
                let id = AttemptId {
                    execution,
                    task: 8 + u32::try_from(task).unwrap_or(0),
                    attempt: u32::try_from(attempt).unwrap_or(0),
                };
                let ending = Ending::Lost { why: "made up".to_owned() };
                self.deliver(News::Attempt {
                    id,
                    seen: Observation::Ended { at: self.now, ending },
                });
            }
        }
    }

    pub(super) fn kill_server(&mut self) {
        if self.server.take().is_some() {
            self.report.crashes += 1;
            self.life += 1;
            self.registry.restart();
            let later = self.now + self.random.millis(10_000);
            self.at(later, Event::Restart);
        }
    }

    pub(super) fn start_server(&mut self) {
        let config = BrainConfig {
            budget: self.records.get().budget,
            boot: BootId(Uuid::from_u128(self.boot)),
            resync: Duration::from_secs(30),
            retained_per_job: RETAINED,
        };
        let brain = Brain::new(self.records.clone(), config, self.now);
        {
            let mut records = self.records.get_mut();
            records.wish_read.clear();
            records.barred.clear();
            records.stuck = false;
            let _ = records.take_changes();
        }
        self.server = Some(Server { brain, news: Vec::new(), tick_at: self.now, missed: false });
        self.follow(self.machine.leftovers());
    }

    /// News came or records changed: the server ticks soon.
    pub(super) fn wake_server(&mut self) {
        let soon = self.now + self.random.millis(20);
        let changes = self.records.get().has_changes();
        if let Some(server) = &mut self.server
            && (changes || server.missed || !server.news.is_empty())
        {
            server.tick_at = server.tick_at.min(soon);
        }
    }

    pub(super) fn deliver(&mut self, news: News) {
        if let News::Attempt { id, seen: Observation::Ended { at, .. } } = &news
            && self.goes_wrong(self.odds.contradicted)
        {
            let ending = Ending::Lost { why: "on second thoughts".to_owned() };
            let seen = match self.random.below(2) {
                0 => Observation::Started { at: *at },
                _ => Observation::Ended { at: *at, ending },
            };
            let later = self.now + self.random.millis(5000);
            let news = News::Attempt { id: *id, seen };
            self.at(later, Event::News { life: self.life, news });
        }
        if let Some(server) = &mut self.server {
            server.news.push(news);
        }
    }

    pub(super) fn answer(&mut self, request: &ImageRequest) {
        if let Some(news) = self.registry.answer(request, &mut self.random, self.now) {
            self.send(&news);
        }
    }
}

/// What follows, and when.
impl World {
    pub(super) fn follow(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(id, seen) => self.send(&News::Attempt { id, seen }),
                Effect::Runs(id) => {
                    let later = self.now + self.random.millis(20_000);
                    self.at(later, Event::Ends(id));
                }
                Effect::Stops(id) => {
                    let later = self.now + self.random.millis(10_000);
                    self.at(later, Event::Ends(id));
                }
            }
        }
    }

    /// On its way to the server, if there is one.
    pub(super) fn send(&mut self, news: &News) {
        if self.server.is_none() || self.goes_wrong(self.odds.lost) {
            return;
        }
        let times = 1 + usize::from(self.goes_wrong(self.odds.repeated));
        for _ in 0..times {
            let delay = if self.goes_wrong(self.odds.late) { 60_000 } else { 200 };
            let later = self.now + self.random.millis(delay);
            self.at(later, Event::News { life: self.life, news: news.clone() });
        }
    }

    pub(super) fn goes_wrong(&mut self, per_mille: u64) -> bool {
        !self.trouble_is_over() && self.random.per_mille(per_mille)
    }

    pub(super) fn some_time(&mut self, event: Event) {
        let trouble = u64::try_from(TROUBLE_SECONDS * 1000).unwrap_or(0);
        let at = Timestamp::UNIX_EPOCH + self.random.millis(trouble);
        self.at(at, event);
    }

    pub(super) fn at(&mut self, at: Timestamp, event: Event) {
        self.made += 1;
        self.queue.insert((at, self.made), event);
    }

    #[expect(clippy::print_stderr, reason = "a trace is asked for by a person at a terminal")]
    pub(super) fn tell_trace(&self, what: &impl std::fmt::Debug) {
        if self.trace == Trace::On {
            eprintln!("{:>8} {what:?}", self.now.as_millisecond());
        }
    }
}
