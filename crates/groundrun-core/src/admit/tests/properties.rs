//! Of any document that is admitted.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    admit::replacement,
    render,
    samples::{CONTAINER, admitted, context, decode, job, least, with},
};

/// A value for each field that can be accepted, and a pointer to it.
fn fields() -> impl Strategy<Value = Vec<(String, Value)>> {
    let container = |field: &str| format!("{CONTAINER}/{field}");
    let task = |field: &str| format!("/spec/template/spec/template/spec/{field}");
    let words = || prop::collection::vec("[ -~]{0,8}", 0..4);
    let env = prop::collection::vec(("[A-Z]{1,3}", "\\PC{0,8}"), 0..6).prop_map(|env| {
        env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    });
    let limits = prop::sample::select(vec![
        json!({}),
        json!({"cpu": "2"}),
        json!({"cpu": "1", "memory": "4Gi"}),
        json!({"memory": "0.5Gi"}),
        json!({"cpu": "8000m", "memory": "32Gi"}),
    ]);
    let labels = || prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..3);
    let any = |pointer: String, value: BoxedStrategy<Value>| {
        prop::option::of(value).prop_map(move |value| value.map(|value| (pointer.clone(), value)))
    };
    let number = |range: std::ops::RangeInclusive<i64>| range.prop_map(|n| json!(n)).boxed();
    (
        any("/spec/template/spec/taskCount".into(), number(0..=10_000)),
        any("/spec/template/spec/parallelism".into(), number(0..=20_000)),
        any(task("maxRetries"), number(0..=10)),
        any(task("timeoutSeconds"), number(0..=604_800)),
        any(
            task("serviceAccountName"),
            "[a-z]{1,6}(@[a-z]{1,4}\\.[a-z]{2})?".prop_map(|s| json!(s)).boxed(),
        ),
        any(container("args"), words().prop_map(|v| json!(v)).boxed()),
        any(container("command"), words().prop_map(|v| json!(v)).boxed()),
        any(container("env"), env.prop_map(Value::Array).boxed()),
        any(
            container("resources"),
            limits.prop_map(|limits| json!({"limits": limits, "requests": {}})).boxed(),
        ),
        any("/metadata/labels".into(), labels().prop_map(|v| json!(v)).boxed()),
        any("/spec/template/metadata/labels".into(), labels().prop_map(|v| json!(v)).boxed()),
        any("/metadata/annotations".into(), labels().prop_map(|v| json!(v)).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i, j, k, l)| {
            [a, b, c, d, e, f, g, h, i, j, k, l].into_iter().flatten().collect()
        })
}

fn document(fields: Vec<(String, Value)>) -> Value {
    fields.into_iter().fold(least(), |document, (pointer, value)| with(document, &pointer, value))
}

proptest! {
    #[test]
    fn putting_back_what_get_gave_changes_nothing(fields in fields()) {
        let old = job(document(fields));
        let shown = serde_json::to_value(render::job(&old, None, &context())).expect("JSON");
        let new = replacement(&old, decode(shown), &context()).expect("it is admitted");
        prop_assert_eq!(new.generation, old.generation);
        prop_assert_eq!(new.spec, old.spec);
        prop_assert_eq!(new.labels, old.labels);
        prop_assert_eq!(new.annotations, old.annotations);
    }

    #[test]
    fn admission_is_a_function_of_the_document(fields in fields()) {
        let document = document(fields);
        let once = admitted(document.clone());
        let twice = admitted(with(document, "/spec", serde_json::to_value(&*once.spec).expect("JSON")));
        prop_assert_eq!(once, twice);
    }
}
