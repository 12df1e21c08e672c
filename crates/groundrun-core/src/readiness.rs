//! Which jobs are to be checked, and what the answers make of them: can their images be had, and is what else they need there?
//!
//! A registry that does not answer is asked again after 1, 2, 4, 8 s, and meanwhile nothing is known. A job that is not
//! ready says why, and is asked about once a minute from there on: it becomes ready when its image was pushed, or when the
//! registry is back, without anybody changing the job.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use crate::{
    id::JobUid,
    needs::Needs,
    outcome,
    port::{CheckFault, ImageFault, ImageFaultKind, ImageRequest},
    record::{Failure, Job, Readiness, ReadinessState, WAIT_MAX, backoff, is_over},
};

/// Answers that never came, in a row, after which a job is called not ready: 15 s, the patience of somebody who has just
/// deployed it.
pub const CHECKS_FAILED_MAX: u32 = 5;

/// Between two questions about a job that was called not ready. Manifests only, so this costs a registry next to nothing.
pub const CHECK_AGAIN: Duration = WAIT_MAX;

/// The jobs whose readiness is not known, or is asked about again.
#[derive(Debug, Default)]
pub struct Checks {
    jobs: BTreeMap<JobUid, Check>,
}

#[derive(Debug)]
struct Check {
    generation: i32,
    images: Vec<String>,
    needs: Needs,
    /// How often nobody answered.
    failures: u32,
    /// Why it was called not ready.
    told: Option<Failure>,
    ask: Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// Not before this time.
    At(Timestamp),
    /// It was asked.
    Asked,
}

impl Checks {
    /// Takes in a job as it is now.
    pub fn see(&mut self, job: &Job, now: Timestamp) {
        let generation = job.generation;
        let (told, at) = match &job.readiness.state {
            ReadinessState::Ready if job.readiness.generation == generation => {
                self.jobs.remove(&job.uid);
                return;
            }
            ReadinessState::Failed(failure) if job.readiness.generation == generation => {
                (Some(failure.clone()), later(now, CHECK_AGAIN))
            }
            _ => (None, now),
        };
        let known = self.jobs.get(&job.uid).is_some_and(|check| {
            // Somebody may have asked to know again after all.
            check.generation == generation && (check.told.is_none() || told.is_some())
        });
        if !known {
            let (images, needs, ask) = (images(job), Needs::of(job), Ask::At(at));
            let check = Check { generation, images, needs, failures: 0, told, ask };
            self.jobs.insert(job.uid, check);
        }
    }

    /// The job is gone.
    pub fn forget(&mut self, job: JobUid) {
        self.jobs.remove(&job);
    }

    /// What to ask now.
    #[must_use]
    pub fn due(&mut self, now: Timestamp) -> Vec<ImageRequest> {
        let due = |check: &Check| matches!(check.ask, Ask::At(at) if is_over(at, now));
        self.jobs
            .iter_mut()
            .filter(|(_, check)| due(check))
            .map(|(job, check)| {
                check.ask = Ask::Asked;
                let (images, needs) = (check.images.clone(), check.needs.clone());
                ImageRequest::Check { job: *job, generation: check.generation, images, needs }
            })
            .collect()
    }

    /// When [`due`](Self::due) has something next.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        let times = self.jobs.values().filter_map(|check| match check.ask {
            Ask::At(at) => Some(at),
            Ask::Asked => None,
        });
        times.min()
    }

    /// Asks again where no answer came: it may have been lost.
    pub fn resync(&mut self, now: Timestamp) {
        for check in self.jobs.values_mut().filter(|check| check.ask == Ask::Asked) {
            check.ask = Ask::At(now);
        }
    }

    /// Takes in an answer; `Some` if the job's readiness is to be written.
    #[must_use]
    pub fn hear(
        &mut self,
        job: JobUid,
        generation: i32,
        result: Result<(), CheckFault>,
        now: Timestamp,
    ) -> Option<Readiness> {
        let check = self.jobs.get_mut(&job).filter(|check| check.generation == generation)?;
        let Err(fault) = result else {
            self.jobs.remove(&job);
            return Some(Readiness { generation, since: now, state: ReadinessState::Ready });
        };
        let unreachable = matches!(
            &fault,
            CheckFault::Image(ImageFault { kind: ImageFaultKind::Unreachable, .. })
        );
        if unreachable && check.told.is_none() {
            check.failures += 1;
            if check.failures < CHECKS_FAILED_MAX {
                check.ask = Ask::At(later(now, backoff(check.failures - 1)));
                return None;
            }
        }
        check.ask = Ask::At(later(now, CHECK_AGAIN));
        let failure = outcome::check_failure(&fault);
        let again = check.told.replace(failure.clone()) == Some(failure.clone());
        let state = ReadinessState::Failed(failure);
        (!again).then_some(Readiness { generation, since: now, state })
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn images(job: &Job) -> Vec<String> {
    let template = job.spec.template.as_ref().and_then(|template| template.spec.as_ref());
    let task = template.and_then(|spec| spec.template.as_ref()).and_then(|task| task.spec.as_ref());
    let containers = task.map(|task| task.containers.as_slice()).unwrap_or_default();
    containers.iter().filter_map(|container| container.image.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use groundrun_api::v1;
    use uuid::Uuid;

    use super::*;
    use crate::record::{Author, Revision, Scope};

    const UID: JobUid = JobUid(Uuid::nil());

    fn job(generation: i32, readiness: Readiness) -> Job {
        Job {
            uid: UID,
            scope: Scope { project: "p".into(), region: "r".into() },
            name: "job".into(),
            generation,
            created: at(0),
            updated: at(0),
            revision: Revision(1),
            written: Revision(1),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            author: Author::default(),
            spec: Arc::new(v1::JobSpec::default()),
            execution_count: 0,
            latest_execution: None,
            readiness,
        }
    }

    fn unchecked(generation: i32) -> Job {
        job(generation, Readiness { generation: 0, since: at(0), state: ReadinessState::Checking })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number")
    }

    fn fault(kind: ImageFaultKind) -> Result<(), CheckFault> {
        let (image, message) = ("i".into(), "why".into());
        Err(CheckFault::Image(ImageFault { kind, image, message }))
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_question_off() {
        let mut checks = Checks::default();
        checks.see(&unchecked(1), at(7200));
        assert_eq!(checks.due(at(3600)).len(), 1);
        let unheard = checks.hear(UID, 1, fault(ImageFaultKind::Unreachable), at(3600));
        assert_eq!((unheard, checks.due(at(3600)).len()), (None, 0));
        assert_eq!(checks.due(at(0)).len(), 1);
    }

    #[test]
    fn an_unknown_job_is_asked_about_once() {
        let mut checks = Checks::default();
        checks.see(&unchecked(1), at(0));
        checks.see(&unchecked(1), at(0));
        assert_eq!(checks.due(at(0)).len(), 1);
        assert_eq!(checks.due(at(100)), []);
        checks.resync(at(100));
        assert_eq!(checks.due(at(100)).len(), 1, "the answer may have been lost");
    }

    #[test]
    fn a_known_job_is_not_asked_about() {
        let mut checks = Checks::default();
        let state = ReadinessState::Ready;
        checks.see(&job(2, Readiness { generation: 2, since: at(0), state }), at(0));
        assert_eq!(checks.due(at(0)), []);
    }

    #[test]
    fn an_answer_for_an_older_generation_says_nothing() {
        let mut checks = Checks::default();
        checks.see(&unchecked(1), at(0));
        let _ = checks.due(at(0));
        checks.see(&unchecked(2), at(1));
        assert_eq!(checks.hear(UID, 1, Ok(()), at(2)), None);
        assert_eq!(checks.due(at(2)).len(), 1);
        let ready = checks.hear(UID, 2, Ok(()), at(3)).expect("the answer that was asked for");
        assert_eq!((ready.generation, ready.state), (2, ReadinessState::Ready));
        assert_eq!(checks.hear(UID, 2, fault(ImageFaultKind::Missing), at(4)), None, "overtaken");
    }

    #[test]
    fn a_missing_image_is_told_at_once() {
        let mut checks = Checks::default();
        checks.see(&unchecked(1), at(0));
        let _ = checks.due(at(0));
        let told =
            checks.hear(UID, 1, fault(ImageFaultKind::Missing), at(1)).map(|told| told.state);
        let Some(ReadinessState::Failed(failure)) = told else { panic!("{told:?}") };
        assert_eq!(failure.reason.as_deref(), Some("ContainerMissing"));
        assert_eq!(failure.message, "Image 'i' not found.");
    }

    #[test]
    fn a_job_without_its_image_is_asked_about_each_minute_also_after_a_restart() {
        let failure = Failure {
            reason: Some("ContainerMissing".to_owned()),
            message: "Image 'i' not found.".to_owned(),
        };
        let readiness =
            Readiness { generation: 1, since: at(0), state: ReadinessState::Failed(failure) };
        let mut checks = Checks::default();
        checks.see(&job(1, readiness), at(0));
        assert_eq!(checks.due(at(59)), []);
        assert_eq!(checks.due(at(60)).len(), 1);
        let again = checks.hear(UID, 1, fault(ImageFaultKind::Missing), at(61));
        assert_eq!(again, None, "the same is not written again");
        assert_eq!(checks.due(at(121)).len(), 1);
        let ready = checks.hear(UID, 1, Ok(()), at(122)).map(|ready| ready.state);
        assert_eq!(ready, Some(ReadinessState::Ready), "it was pushed");
    }

    #[test]
    fn whoever_asks_again_is_answered_at_once() {
        let mut checks = Checks::default();
        checks.see(&unchecked(1), at(0));
        let _ = checks.due(at(0));
        let told = checks.hear(UID, 1, fault(ImageFaultKind::Missing), at(1));
        checks.see(&job(1, told.expect("it is told")), at(1));
        assert_eq!(checks.due(at(2)), []);
        checks.see(&unchecked(1), at(2));
        assert_eq!(checks.due(at(2)).len(), 1);
    }

    #[test]
    fn a_silent_registry_is_asked_again_then_told_then_asked_each_minute() {
        let mut checks = Checks::default();
        checks.see(&unchecked(1), at(0));
        let (mut now, mut asked, mut told) = (at(0), Vec::new(), Vec::new());
        for _ in 0..8 {
            assert_eq!(checks.due(now).len(), 1);
            asked.push(now.as_second());
            if checks.hear(UID, 1, fault(ImageFaultKind::Unreachable), now).is_some() {
                told.push(now.as_second());
            }
            now = checks.wake_at().expect("it is asked again");
        }
        assert_eq!(asked, [0, 1, 3, 7, 15, 75, 135, 195]);
        assert_eq!(told, [15]);
        let _ = checks.due(now);
        let ready = checks.hear(UID, 1, Ok(()), now).map(|ready| ready.state);
        assert_eq!(ready, Some(ReadinessState::Ready));
        assert_eq!(checks.wake_at(), None);
    }
}
