//! Lists against a naive model: filter, sort, cut.

use std::{collections::BTreeSet, num::NonZeroU32};

use groundrun_api::selector::{Requirement, Selector, Test};
use groundrun_core::{
    id::{ExecutionUid, JobUid},
    record::Job,
};
use groundrun_store::{Applied, Continue, ListQuery, Page, Store, StoreError};
use proptest::{collection::vec, prelude::*, sample::select};
use uuid::Uuid;

use crate::support::*;

/// What the model knows of a job or an execution.
#[derive(Clone, Debug)]
struct Thing {
    uid: u128,
    created: i64,
    project: &'static str,
    region: &'static str,
    labels: Labels,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Deleted,
}

fn labels() -> impl Strategy<Value = Labels> {
    proptest::collection::btree_map(
        select(vec!["a", "b/c", "d"]).prop_map(str::to_owned),
        select(vec!["", "x", "y", "it's"]).prop_map(str::to_owned),
        0..4,
    )
}

fn thing() -> impl Strategy<Value = Thing> {
    (
        any::<u128>(),
        // Few: ties are common.
        0..6_i64,
        select(vec!["p", "p", "q"]),
        select(vec!["r", "s"]),
        labels(),
        prop_oneof![4 => Just(Fate::Kept), 1 => Just(Fate::Deleted)],
    )
        .prop_map(|(uid, created, project, region, labels, fate)| Thing {
            uid,
            created,
            project,
            region,
            labels,
            fate,
        })
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let values = vec(select(vec!["", "x", "y", "it's", "z"]).prop_map(str::to_owned), 1..3)
        .prop_map(|values| values.into_iter().collect::<BTreeSet<_>>());
    let test = prop_oneof![
        Just(Test::Exists),
        Just(Test::Absent),
        values.clone().prop_map(Test::In),
        values.prop_map(Test::NotIn),
    ];
    (select(vec!["a", "b/c", "d", "e"]), test)
        .prop_map(|(key, test)| Requirement { key: key.to_owned(), test })
}

/// A question to ask of a list.
#[derive(Clone, Debug)]
struct Question {
    region: Option<&'static str>,
    selector: Selector,
    limit: u32,
}

fn question() -> impl Strategy<Value = Question> {
    (select(vec![None, Some("r"), Some("s")]), vec(requirement(), 0..3), 1..7_u32).prop_map(
        |(region, requirements, limit)| Question {
            region,
            selector: Selector { requirements },
            limit,
        },
    )
}

fn expected(things: &[Thing], question: &Question) -> Vec<u128> {
    let mut found: Vec<_> = things
        .iter()
        .filter(|thing| thing.fate == Fate::Kept && thing.project == "p")
        .filter(|thing| question.region.is_none_or(|region| region == thing.region))
        .filter(|thing| question.selector.matches(&thing.labels))
        .map(|thing| (thing.created, thing.uid))
        .collect();
    found.sort_unstable();
    found.into_iter().rev().map(|(_, uid)| uid).collect()
}

/// All pages of an answer, each token through its text.
fn all<T>(
    question: &Question,
    mut page: impl FnMut(&ListQuery<'_>) -> Result<Page<T>, StoreError>,
    uid: impl Fn(&T) -> Uuid,
) -> Vec<u128> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let query = ListQuery {
            project: "p",
            region: question.region,
            selector: &question.selector,
            limit: NonZeroU32::new(question.limit).expect("it is at least one"),
            after,
        };
        let page = page(&query).expect("it reads");
        assert!(page.items.len() <= question.limit as usize);
        found.extend(page.items.iter().map(|item| uid(item).as_u128()));
        match page.next {
            None => return found,
            Some(next) => {
                assert_eq!(page.items.len(), question.limit as usize, "only the last is short");
                after = Some(next.to_string().parse::<Continue>().expect("it is ours"));
            }
        }
    }
}

fn fill(store: &Store, things: Vec<Thing>) {
    write(store, at(0), move |tx| {
        let mut of = job("the-job", 1);
        tx.insert_job(&mut of, &Labels::new())?;
        for thing in &things {
            let mut one = job_like(thing);
            tx.insert_job(&mut one, &thing.labels)?;
            let mut run = execution(&of, &one.name, thing.uid);
            run.uid = ExecutionUid(Uuid::from_u128(thing.uid));
            run.scope = one.scope.clone();
            run.created = one.created;
            tx.insert_execution(&mut run, &thing.labels)?;
            if thing.fate == Fate::Deleted {
                let _ = tx.delete_job(one.uid)?;
                let _ = tx.delete_execution(run.uid)?;
            }
        }
        Ok(())
    });
}

fn job_like(thing: &Thing) -> Job {
    let mut one = job(&format!("t-{}", thing.uid), thing.uid);
    // A job and an execution of the same bits would share their labels: real ones are random.
    one.uid = JobUid(Uuid::from_u128(thing.uid ^ JOB));
    one.scope.project = thing.project.to_owned();
    one.scope.region = thing.region.to_owned();
    one.created = at(thing.created);
    one
}

const JOB: u128 = 1 << 64;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_what_the_model_says_page_by_page(
        things in vec(thing(), 0..40),
        questions in vec(question(), 1..12),
    ) {
        let (_dir, store) = open();
        fill(&store, things.clone());
        // "the-job" is of the model too, for lists of jobs.
        let jobs: Vec<_> = things
            .iter()
            .map(|thing| Thing { uid: thing.uid ^ JOB, ..thing.clone() })
            .chain([Thing {
                uid: 1,
                created: 0,
                project: "p",
                region: "r",
                labels: Labels::new(),
                fate: Fate::Kept,
            }])
            .collect();
        for question in &questions {
            let found = all(question, |query| store.read(|view| view.executions(query)), |one| one.uid.0);
            prop_assert_eq!(found, expected(&things, question));
            let found = all(question, |query| store.read(|view| view.jobs(query)), |one| one.uid.0);
            prop_assert_eq!(found, expected(&jobs, question));
        }
    }
}

fn names(page: &Page<Job>) -> Vec<&str> {
    page.items.iter().map(|job| job.name.as_str()).collect()
}

fn query(limit: u32, selector: &Selector, after: Option<Continue>) -> ListQuery<'_> {
    let limit = NonZeroU32::new(limit).expect("it is at least one");
    ListQuery { project: "p", region: None, selector, limit, after }
}

#[test]
fn a_token_holds_after_changes_and_a_restart() {
    let (dir, store) = open();
    let keep = |store: &Store, number: i64| {
        let mut one = job(&format!("j-{number}"), number.unsigned_abs().into());
        one.created = at(number);
        keep_job(store, one)
    };
    let jobs: Vec<_> = (1..=6).map(|number| keep(&store, number)).collect();
    let everything = Selector::default();
    let first = read(&store, |view| view.jobs(&query(3, &everything, None)));
    assert_eq!(names(&first), ["j-6", "j-5", "j-4"]);
    let token = first.next.expect("there is more").to_string();

    keep(&store, 7);
    for gone in [jobs[3].uid, jobs[2].uid] {
        assert_eq!(write(&store, at(9), move |tx| tx.delete_job(gone)), Applied::Yes);
    }
    drop(store);
    let store = Store::open(dir.path()).expect("it opens");
    let after = Some(token.parse().expect("it is ours"));
    let second = read(&store, |view| view.jobs(&query(3, &everything, after)));
    assert_eq!(names(&second), ["j-2", "j-1"]);
    assert_eq!(second.next, None);
}

#[test]
fn what_is_no_token_is_told() {
    for text in ["", "x", "AAAA", "%%%", &"A".repeat(34), &"A".repeat(200)] {
        let error = text.parse::<Continue>().expect_err("it is not ours");
        assert!(error.to_string().contains("not a continue token"), "{error}");
    }
}

#[test]
fn labels_follow_an_update() {
    let (_dir, store) = open();
    let mut kept = keep_job(&store, job("j", 1));
    let selector: Selector = "a=x".parse().expect("it parses");
    let found = || read(&store, |view| view.jobs(&query(9, &selector, None))).items.len();
    assert_eq!(found(), 0);
    let with = |value: &str| Labels::from([("a".to_owned(), value.to_owned())]);
    let mut first = kept.clone();
    write(&store, at(1), move |tx| tx.update_job(&mut first, &with("x")));
    assert_eq!(found(), 1);
    write(&store, at(2), move |tx| tx.update_job(&mut kept, &with("y")));
    assert_eq!(found(), 0);
}
