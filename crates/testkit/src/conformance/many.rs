//! Many attempts at once: all end, and what the backend itself holds stays bounded.

use std::{sync::Arc, time::Duration};

use groundrun_core::{
    port::Action,
    record::{Cause, Exit},
};

use super::{
    Place, Scenario, Witness, attempts,
    begin::{assert_exited, start},
    bounded,
};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("two hundred attempts in flight all run and leave nothing", two_hundred),
    ("ten thousand waiting starts hold neither threads nor descriptors", ten_thousand),
];

fn two_hundred(place: &mut dyn Place) {
    let specs = attempts(place, 200, &["sleep", "1"]);
    let witness = Witness::new();
    let idle = place.own_resources();
    let backend = place.open(Arc::clone(&witness) as _);
    let open = place.own_resources();
    for spec in &specs {
        let mut spec = spec.clone();
        spec.containers[0].limits.memory_bytes = 16 << 20;
        start(&*backend, &spec);
    }
    for spec in &specs {
        let ending = witness.ended_within(spec.id, Duration::from_secs(120));
        assert_exited(&ending, (Exit::Code(0), Cause::OnItsOwn));
        backend.apply(Action::Forget(spec.id));
    }
    bounded(|| match place.leftovers(specs[0].id.execution) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
    bounded(|| match place.own_resources() {
        now if now.descriptors <= open.descriptors && now.threads <= open.threads => Ok(()),
        now => Err((now, open)),
    });
    drop(backend);
    bounded(|| match place.own_resources() {
        now if now.descriptors <= idle.descriptors && now.threads <= idle.threads => Ok(()),
        now => Err((now, idle)),
    });
}

fn ten_thousand(place: &mut dyn Place) {
    let specs = attempts(place, 10_000, &["sleep", "300"]);
    let witness = Witness::new();
    let backend = place.open(Arc::clone(&witness) as _);
    let open = place.own_resources();
    specs.iter().for_each(|spec| start(&*backend, spec));
    let asked = place.own_resources();
    assert_eq!(asked.threads, open.threads);
    assert!(asked.descriptors < open.descriptors + 1000, "{asked:?} after {open:?}");
    // Stopped from the back, so that hardly any of them has begun.
    for spec in specs.iter().rev() {
        backend.apply(Action::Stop { id: spec.id, grace: Duration::ZERO });
    }
    for spec in &specs {
        let ending = witness.ended_within(spec.id, Duration::from_secs(120));
        assert!(
            matches!(ending, groundrun_core::record::Ending::Exited { cause: Cause::Asked, .. }),
            "{ending:?}"
        );
    }
    backend.apply(Action::Discard(specs[0].id.execution));
    specs.iter().for_each(|spec| backend.apply(Action::Forget(spec.id)));
    bounded(|| match place.files(specs[0].id.execution) {
        files if files.is_empty() => Ok(()),
        files => Err(files.len()),
    });
}
