//! Whom a secret's policy lets read what its versions hold.

use groundrun_api::v1::Policy;

/// Roles with `secretmanager.versions.access`.
const ROLES: [&str; 3] =
    ["roles/secretmanager.secretAccessor", "roles/secretmanager.admin", "roles/owner"];

/// Does it let `service_account` (an e-mail address)? Bindings with a condition let nobody: conditions are refused where
/// a policy is set.
#[must_use]
pub fn lets(policy: &Policy, service_account: &str) -> bool {
    let bindings = policy.bindings.iter().filter(|binding| {
        binding.condition.is_none()
            && binding.role.as_deref().is_some_and(|role| ROLES.contains(&role))
    });
    bindings.flat_map(|binding| &binding.members).any(|member| {
        matches!(member.as_str(), "allUsers" | "allAuthenticatedUsers")
            || member
                .strip_prefix("serviceAccount:")
                .is_some_and(|account| account.eq_ignore_ascii_case(service_account))
    })
}

#[cfg(test)]
mod tests {
    use groundrun_api::v1::{Binding, Expr};

    use super::*;

    fn policy(role: &str, member: &str) -> Policy {
        let binding = Binding {
            role: Some(role.to_owned()),
            members: vec!["user:x@example.com".to_owned(), member.to_owned()],
            condition: None,
        };
        Policy { bindings: vec![binding], ..Policy::default() }
    }

    #[test]
    fn the_accessors_owners_and_admins_that_it_names_may_read() {
        let accessor = "roles/secretmanager.secretAccessor";
        for (role, member, may) in [
            (accessor, "serviceAccount:a@demo.iam.gserviceaccount.com", true),
            ("roles/secretmanager.admin", "serviceAccount:a@demo.iam.gserviceaccount.com", true),
            ("roles/owner", "serviceAccount:a@demo.iam.gserviceaccount.com", true),
            (accessor, "allUsers", true),
            (accessor, "serviceAccount:b@demo.iam.gserviceaccount.com", false),
            (accessor, "user:a@demo.iam.gserviceaccount.com", false),
            (accessor, "deleted:serviceAccount:a@demo.iam.gserviceaccount.com", false),
            ("roles/secretmanager.viewer", "allUsers", false),
            ("roles/editor", "serviceAccount:a@demo.iam.gserviceaccount.com", false),
        ] {
            let lets = lets(&policy(role, member), "a@demo.iam.gserviceaccount.com");
            assert_eq!(lets, may, "{role} {member}");
        }
        assert!(!lets(&Policy::default(), "a@demo.iam.gserviceaccount.com"));
    }

    #[test]
    fn a_binding_with_a_condition_lets_nobody() {
        let mut policy = policy("roles/owner", "allUsers");
        policy.bindings[0].condition = Some(Expr::default());
        assert!(!lets(&policy, "a@demo.iam.gserviceaccount.com"));
    }
}
