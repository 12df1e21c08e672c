//! Images: mostly there, sometimes nobody answers, and one of the executions names one that does not exist.

use std::collections::BTreeSet;

use groundrun_core::{
    id::ExecutionUid,
    port::{CheckFault, ImageFault, ImageFaultKind, ImageRequest, ImportedImage, News},
};
use jiff::Timestamp;

use super::random::Random;

#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) silent_until: Timestamp,
    pub(super) missing: BTreeSet<ExecutionUid>,
    /// Executions whose images are kept.
    pub(super) pinned: BTreeSet<ExecutionUid>,
    /// Executions whose images are asked for: what is released meanwhile is not kept when it comes.
    wanted: BTreeSet<ExecutionUid>,
    imports: u64,
}

impl Registry {
    pub(super) fn ask(&mut self, request: &ImageRequest) {
        if let ImageRequest::Import { execution, .. } = request {
            self.wanted.insert(*execution);
        }
    }

    /// The process that imported is gone, and what it kept may be collected.
    pub(super) fn restart(&mut self) {
        self.wanted.clear();
        self.pinned.clear();
    }

    /// The answer to a request, if it has one.
    pub(super) fn answer(
        &mut self,
        request: &ImageRequest,
        random: &mut Random,
        now: Timestamp,
    ) -> Option<News> {
        let silent = now < self.silent_until;
        match request {
            ImageRequest::Check { job, generation, images, .. } => {
                let (job, generation) = (*job, *generation);
                let unreachable = || CheckFault::Image(fault(ImageFaultKind::Unreachable, images));
                let result = if silent { Err(unreachable()) } else { Ok(()) };
                Some(News::Checked { job, generation, result })
            }
            ImageRequest::Import { execution, images } => {
                let result = match () {
                    () if silent => Err(fault(ImageFaultKind::Unreachable, images)),
                    () if self.missing.contains(execution) => {
                        Err(fault(ImageFaultKind::Missing, images))
                    }
                    () => Ok(self.import(*execution, images, random)),
                };
                Some(News::Imported { execution: *execution, result })
            }
            ImageRequest::Release(execution) => {
                self.wanted.remove(execution);
                self.pinned.remove(execution);
                None
            }
        }
    }

    /// Each import finds another digest behind the tag: whoever resolves it twice is found out.
    fn import(
        &mut self,
        execution: ExecutionUid,
        images: &[String],
        random: &mut Random,
    ) -> Vec<ImportedImage> {
        self.imports += 1;
        if self.wanted.remove(&execution) {
            self.pinned.insert(execution);
        }
        let stale = random.per_mille(100).then(|| "nobody answered".to_owned());
        let digest = |_| format!("sha256:{}", self.imports);
        images
            .iter()
            .map(|image| ImportedImage { digest: digest(image), stale: stale.clone() })
            .collect()
    }
}

fn fault(kind: ImageFaultKind, images: &[String]) -> ImageFault {
    let image = images.first().cloned().unwrap_or_default();
    ImageFault { kind, image, message: "so it is".to_owned() }
}
