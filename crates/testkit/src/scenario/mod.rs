//! Scripts that tell a story to the core, and what it answered.
//!
//! ```text
//! # One task fails once, and its retry succeeds.
//! > run retries=1
//!   because accepted, imports its images
//!   import registry.example/tool:1
//! > imported
//!   …
//! ```
//! A line with `>` is a command, what is indented is the answer, `#` and empty lines are for the reader. [`play`]
//! writes the answers anew: a script that does not change is right.
//!
//! | command | meaning |
//! |---|---|
//! | `budget memory=4Gi cpu=4` | what the machine gives to tasks; before `run` |
//! | `others memory=1Gi cpu=1` | what other executions occupy from now on; nothing if left out |
//! | `rivals memory=1Gi cpu=1` | what another regular execution would begin if there were room; nothing if left out |
//! | `run tasks=1 parallelism=0 retries=0 memory=512Mi cpu=1000m delay=false` | the execution |
//! | `imported [DIGEST] [stale=WHY]`, `import missing\|denied\|unusable\|unreachable WHY` | the images' answer |
//! | `started T-A` | the backend's word on attempt A of task T |
//! | `exited T-A 0`, `exited T-A signal=9`, `… timeout`, `… oom`, `… asked` | likewise, with the cause |
//! | `unstarted T-A ours\|theirs WHY`, `lost T-A WHY` | likewise |
//! | `cancel`, `delete` | the wishes of clients |
//! | `wait 5s` | time goes by; `restart`, `reboot`: the server, the machine |
//! | `resync` | everything live is asked about again |
//! | `spec`, `state` | shows the spec of the next start, or the state of the execution |

mod answer;
mod player;

pub use player::play;
