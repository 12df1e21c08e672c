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
        .map_err(|fault| NeedFault { kind: NeedKind::Files, message: message(&fault.to_string()) })
}

/// Lines to paste end as they are.
fn message(fault: &str) -> String {
    match fault.contains('\n') {
        true => fault.to_owned(),
        false => format!("{fault}."),
    }
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
        let expected = "NFS directory nas:/a cannot be mounted on this machine (without root the kernel mounts none). \
            Add to the server's settings file, with a directory of yours:\n\
            [nfs.\"nas:/a\"]\n\
            directory = \"/a/directory\"\n\
            or start it with --nfs nas:/a=/a/directory";
        assert_eq!(fault.message, expected);
        files.nfs.insert(("nas".into(), "/a".into()), "/not/there".into());
        let fault = check(&files, &needs).expect_err("that is not there");
        assert!(
            fault.message.ends_with(" Make that directory, or map it to another."),
            "{}",
            fault.message
        );
        for path in ["/a", "/b"] {
            files.nfs.insert(("nas".into(), path.into()), "/".into());
        }
        assert_eq!(check(&files, &needs), Ok(()));
    }
}
