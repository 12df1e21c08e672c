//! temporary
use std::{io, num::NonZeroUsize, sync::Arc, time::Duration};
use groundrun_core::{id::*, record::*};
use groundrun_server::*;
use groundrun_store::*;
use jiff::Timestamp;
struct L;
impl Logs for L {
    fn read(&self, _: AttemptId, from: LogPosition, _: NonZeroUsize) -> io::Result<(Vec<LogLine>, LogPosition)> {
        if from.line > 0 { return Ok((vec![], from)); }
        Ok((vec![LogLine{at: Timestamp::now(), stream: Stream::Stdout, text: "hello".into(), sequence: 0},
                 LogLine{at: Timestamp::now(), stream: Stream::Stdout, text: "{\"a\":1}".into(), sequence: 1}], LogPosition{offset:2,line:2}))
    }
}
#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let s = store.clone();
    std::thread::spawn(move || {
        let mut w = s.watch();
        loop {
            let Seen::Changes(c) = w.wait(Duration::from_secs(1)) else { continue };
            for c in c {
                let now = Timestamp::now();
                match c.subject {
                    Subject::Job(uid) => {
                        let Some(j) = s.read(|v| v.job_by_uid(uid)).unwrap() else { continue };
                        if j.readiness.state == ReadinessState::Checking {
                            let _ = s.write(now, move |tx| { let _ = tx.set_readiness(uid, &Readiness{generation: j.generation, since: now, state: ReadinessState::Ready})?; Ok::<_, WriteError<String>>(()) });
                        }
                    }
                    Subject::Execution(uid) => {
                        let Some(e) = s.read(|v| v.execution_by_uid(uid)).unwrap() else { continue };
                        if e.state.completed.is_some() { continue }
                        let mut st = e.state.clone();
                        let cancel = e.wishes.cancel.is_some();
                        let sleepy = e.job.name == "sleepy";
                        if sleepy && !cancel && st.started.is_some() { continue }
                        let first = st.started.is_none();
                        st.accepted = Some(now); st.observed_generation = e.generation;
                        st.images = ImagesState::Imported{at: now, digests: vec!["sha256:0".into()], stale: None};
                        st.provisioned = Some(now); st.start_time = Some(now); st.started = Some(now);
                        if !sleepy || cancel {
                            st.completed = Some(Completed{at: now, outcome: if cancel { Outcome::Cancelled } else { Outcome::Succeeded }});
                            st.counters.succeeded = if cancel {0} else {1}; st.counters.cancelled = u32::from(cancel); st.counters.running = 0;
                        } else { st.counters.running = 1; }
                        let over = !sleepy;
                        let _ = s.write(now, move |tx| {
                            tx.set_execution_state(uid, &st)?;
                            if first { tx.insert_attempts([&Attempt{id: AttemptId{execution: uid, task: 0, attempt: 0}, boot: BootId(uuid::Uuid::nil()), intended: now, started: Some(now),
                               ended: over.then(|| (now, Ending::Exited{exit: Exit::Code(0), cause: Cause::OnItsOwn, memory_peak: None, message: None}))}])?; }
                            Ok::<_, WriteError<String>>(())
                        });
                    }
                }
            }
        }
    });
    let config = ServerConfig::new(([127,0,0,1], 18080).into(), "demo", "us-central1");
    let world = World{ clock: Arc::new(Timestamp::now), random: Arc::new(|b: &mut [u8]| { use std::io::Read; std::fs::File::open("/dev/urandom").unwrap().read_exact(b).unwrap(); }) };
    let server = Server::bind(config, store, Arc::new(L), world).await.unwrap();
    let stop = async { let _ = tokio::time::sleep(Duration::from_secs(600)).await; };
    server.serve(stop).await;
}
