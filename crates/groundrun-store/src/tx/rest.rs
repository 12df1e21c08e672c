//! Writing policies and invocations.

use groundrun_core::id::{ExecutionUid, JobUid};

use super::Tx;
use crate::{
    error::StoreError,
    rows::micros,
    view::{INVOCATION_KEPT, Policy},
};

impl Tx<'_> {
    /// Replaces the policy of a job. It goes with the job.
    pub fn set_policy(&mut self, job: JobUid, policy: &Policy) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO policies (job, policy, etag) VALUES (?1, ?2, ?3)
             ON CONFLICT (job) DO UPDATE SET policy = excluded.policy, etag = excluded.etag",
            (job.0.as_bytes(), &policy.json, &policy.etag),
        )?;
        Ok(())
    }

    /// Notes what came of a `:run`, so that its repetition within 60 s
    /// ([`invocation`](crate::View::invocation)) makes no second execution. `key` is the caller's: invocation id,
    /// path and body, or a digest of them.
    pub fn remember_invocation(
        &mut self,
        key: &str,
        execution: ExecutionUid,
    ) -> Result<(), StoreError> {
        let now = micros(self.now);
        let kept = i64::try_from(INVOCATION_KEPT.as_micros()).expect("a minute fits");
        self.execute("DELETE FROM invocations WHERE at <= ?1", [now - kept])?;
        self.execute(
            "INSERT OR REPLACE INTO invocations (key, execution, at) VALUES (?1, ?2, ?3)",
            (key, execution.0.as_bytes(), now),
        )?;
        Ok(())
    }
}
