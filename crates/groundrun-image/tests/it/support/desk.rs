//! A store, a service and an inbox in a temporary directory: where the tests ask for images.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use groundrun_core::{
    id::{ExecutionUid, JobUid},
    needs::Needs,
    port::{CheckFault, ImageFault, ImageRequest, Images as _, ImportedImage, Inbox, News},
};
use groundrun_image::{ImageService, ImageStore, Owners, Settings, Timeouts};
use tempfile::TempDir;

/// Longer than anything takes here, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Desk {
    pub(crate) service: ImageService,
    pub(crate) store: Arc<ImageStore>,
    news: Mutex<Receiver<News>>,
    folder: Arc<TempDir>,
}

struct Post(SyncSender<News>);

impl Inbox for Post {
    fn tell(&self, news: News) {
        // The test may be over.
        let _ = self.0.send(news);
    }
}

/// A number as an execution's identity.
pub(crate) fn execution(number: u128) -> ExecutionUid {
    ExecutionUid(uuid::Uuid::from_u128(number))
}

/// Settings whose waits are short enough for a test to see them end.
pub(crate) fn impatient() -> Settings {
    Settings {
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(1),
            stall: Duration::from_millis(500),
            ..Timeouts::default()
        },
        ..Settings::default()
    }
}

impl Desk {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::at(Arc::new(TempDir::new().expect("a temporary directory")), settings)
    }

    /// A desk whose images belong to others than the images say.
    pub(crate) fn owned_by(owners: Owners) -> Self {
        let folder = Arc::new(TempDir::new().expect("a temporary directory"));
        Self::of(folder, Settings::default(), owners)
    }

    fn at(folder: Arc<TempDir>, settings: Settings) -> Self {
        Self::of(folder, settings, Owners::OfTheImage)
    }

    fn of(folder: Arc<TempDir>, settings: Settings, owners: Owners) -> Self {
        let (sender, news) = sync_channel(64);
        let store =
            Arc::new(ImageStore::open(&folder.path().join("images"), owners).expect("opens"));
        let service = ImageService::start(Arc::clone(&store), settings, Arc::new(Post(sender)))
            .expect("starts");
        Self { service, store, news: Mutex::new(news), folder }
    }

    /// The server stops and another one starts on the same directory.
    pub(crate) fn restart(self, settings: Settings) -> Self {
        let Self { service, store, news, folder } = self;
        drop((service, store, news));
        Self::at(folder, settings)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    /// A directory for a test's own files.
    pub(crate) fn files(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ask(&self, request: ImageRequest) {
        self.service.ask(request);
    }

    pub(crate) fn next(&self) -> News {
        self.news.lock().unwrap().recv_timeout(PATIENCE).expect("an answer in time")
    }

    /// No answer came, and none is on its way through the queue: a later one overtook nothing.
    pub(crate) fn is_silent(&self) -> bool {
        self.news.lock().unwrap().try_recv().is_err()
    }

    pub(crate) fn import_for(
        &self,
        number: u128,
        images: &[&str],
    ) -> Result<Vec<ImportedImage>, ImageFault> {
        let images = images.iter().map(|&image| image.to_owned()).collect();
        self.ask(ImageRequest::Import { execution: execution(number), images });
        match self.next() {
            News::Imported { execution: of, result } if of == execution(number) => result,
            news => panic!("not an answer to the import: {news:?}"),
        }
    }

    pub(crate) fn import(&self, image: &str) -> Result<ImportedImage, ImageFault> {
        self.import_for(1, &[image]).map(|imported| imported[0].clone())
    }

    pub(crate) fn check(&self, image: &str) -> Result<(), ImageFault> {
        let job = JobUid(uuid::Uuid::from_u128(7));
        let (images, needs) = (vec![image.to_owned()], Needs::default());
        self.ask(ImageRequest::Check { job, generation: 3, images, needs });
        match self.next() {
            News::Checked { job: of, generation: 3, result } if of == job => {
                result.map_err(|fault| {
                    let CheckFault::Image(fault) = fault else {
                        panic!("not of an image: {fault:?}")
                    };
                    fault
                })
            }
            news => panic!("not an answer to the check: {news:?}"),
        }
    }

    /// The directories of an image, the top first.
    pub(crate) fn layers(&self, image: &str) -> Vec<PathBuf> {
        let imported = self.import(image).unwrap_or_else(|fault| panic!("{fault:?}"));
        self.store.mountable(&imported.digest).expect("imported").layers.clone()
    }

    /// Names in a folder of the store.
    pub(crate) fn folder(&self, name: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.path().join(name)).expect("a folder of the store");
        names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// Nothing half-written is left.
    pub(crate) fn assert_clean(&self) {
        for folder in ["staging", "blobs", "trash"] {
            assert_eq!(self.folder(folder), [] as [String; 0], "left in {folder}");
        }
    }
}
