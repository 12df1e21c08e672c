//! Whether the files are there that a job's tasks share.

use groundrun_core::{
    needs::{Needs, SharedFiles},
    port::{NeedFault, NeedKind},
};

/// The first of the job's buckets and NFS directories that cannot be used.
pub(super) fn check(files: &groundrun_host::SharedFiles, needs: &Needs) -> Result<(), NeedFault> {
    let check_one = |need: &SharedFiles| match need {
        SharedFiles::Bucket { bucket, mount_options } => files.check_bucket(bucket, mount_options),
        SharedFiles::Nfs { server, path } => files.check_nfs(server, path),
    };
    needs
        .files
        .iter()
        .try_for_each(check_one)
        .map_err(|fault| NeedFault { kind: NeedKind::Files, message: format!("{fault}.") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_missing_is_named_with_the_line_to_add() {
        let nfs = |path: &str| SharedFiles::Nfs { server: "nas".into(), path: path.into() };
        let bucket = SharedFiles::Bucket { bucket: "abc".into(), mount_options: vec![] };
        let needs = Needs { files: vec![bucket, nfs("/a"), nfs("/b")], ..Needs::default() };
        let mut files = groundrun_host::SharedFiles::default();
        let fault = check(&files, &needs).expect_err("nothing stands for it");
        assert_eq!(fault.kind, NeedKind::Files);
        assert!(fault.message.contains("[nfs.\"nas:/a\"]"), "{}", fault.message);
        for path in ["/a", "/b"] {
            files.nfs.insert(("nas".into(), path.into()), "/".into());
        }
        assert_eq!(check(&files, &needs), Ok(()));
    }
}
