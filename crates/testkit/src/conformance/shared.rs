//! Files that tasks share: a bucket, which outlives them.

use std::sync::Arc;

use groundrun_core::{
    port::{Action, AttemptSpec, Backend, MountSpec, VolumeKind, VolumeSpec},
    record::{Cause, Exit},
};

use super::{
    Place, Scenario, Witness, attempts,
    begin::{assert_exited, start},
    bounded,
};

pub(super) const SCENARIOS: &[Scenario] =
    &[("a bucket is shared by tasks, kept, and shown read-only where that is asked", bucket)];

/// `spec` with the bucket at `/bucket`, and its arguments replaced.
fn with(mut spec: AttemptSpec, read_only: bool, arguments: &[&str]) -> AttemptSpec {
    let kind =
        VolumeKind::Bucket { bucket: "shared".to_owned(), read_only, mount_options: Vec::new() };
    spec.volumes = vec![VolumeSpec { name: "files".to_owned(), kind }];
    let main = &mut spec.containers[0];
    main.args = arguments.iter().map(|word| (*word).to_owned()).collect();
    let (volume, path) = ("files".to_owned(), "/bucket".to_owned());
    main.mounts = vec![MountSpec { volume, path, read_only: false }];
    spec
}

fn bucket(place: &mut dyn Place) {
    let specs = attempts(place, 4, &[]);
    let [writes, reads, kept_from, later] = <[AttemptSpec; 4]>::try_from(specs).expect("four");
    let writes = with(writes, false, &["write-file", "/bucket/made", "1"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    let end = |backend: &dyn Backend, spec: &AttemptSpec, code| {
        start(backend, spec);
        assert_exited(&witness.ended(spec.id), (Exit::Code(code), Cause::OnItsOwn));
        backend.apply(Action::Forget(spec.id));
    };
    end(&*backend, &writes, 0);
    let reads = with(reads, true, &["ls", "/bucket"]);
    start(&*backend, &reads);
    assert_exited(&witness.ended(reads.id), (Exit::Code(0), Cause::OnItsOwn));
    let lines = place.lines(reads.id);
    assert!(lines.contains(&"made".to_owned()), "{lines:?}");
    backend.apply(Action::Forget(reads.id));
    end(&*backend, &with(kept_from, true, &["write-file", "/bucket/made", "1"]), 1);
    bounded(|| match place.leftovers(writes.id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    drop(backend);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    let later = with(later, false, &["write-file", "/bucket/made", "2"]);
    start(&*backend, &later);
    assert_exited(&witness.ended(later.id), (Exit::Code(0), Cause::OnItsOwn));
}
