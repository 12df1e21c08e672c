//! Whether Cloud SQL instances are mapped to databases.

use std::collections::BTreeMap;

use groundrun_core::port::{NeedFault, NeedKind};
use groundrun_host::instances::{Target, unmapped};

/// Whether all of `instances` are among those of the settings.
pub(super) fn check(
    instances: &[String],
    targets: &BTreeMap<String, Target>,
) -> Result<(), NeedFault> {
    let missing = instances.iter().filter(|instance| !targets.contains_key(*instance));
    let lines: Vec<String> = missing.map(|instance| unmapped(instance)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    Err(NeedFault { kind: NeedKind::CloudSqlInstance, message: lines.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_not_mapped_is_told_with_the_line_to_add() {
        let target = Target::Program("/bin/cloud-sql-proxy".into());
        let targets = BTreeMap::from([("p:r:known".to_owned(), target)]);
        assert_eq!(check(&["p:r:known".to_owned()], &targets), Ok(()));
        let fault = check(&["p:r:known".to_owned(), "p:r:other".to_owned()], &targets)
            .expect_err("one is not mapped");
        assert_eq!(fault.kind, NeedKind::CloudSqlInstance);
        assert!(fault.message.contains("[cloudsql.\"p:r:other\"]"), "{}", fault.message);
        let flag = "\nor start it with --cloudsql p:r:other=postgres://127.0.0.1:5432";
        assert!(fault.message.ends_with(flag), "{}", fault.message);
        let both = check(&["p:r:a".to_owned(), "p:r:b".to_owned()], &targets).expect_err("neither");
        assert_eq!(both.message.matches("is not mapped").count(), 2, "{}", both.message);
    }
}
