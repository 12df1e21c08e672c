//! Whether tasks of a job could be attached to the network that it names.

use groundrun_core::{
    chain,
    needs::Connection,
    port::{NeedFault, NeedKind},
};
use groundrun_host::network::{AttachError, Networks};

/// Looks the network up on this machine.
///
/// # Errors
/// What is missing, with what to do.
pub(super) fn check(networks: &Networks, connection: &Connection) -> Result<(), NeedFault> {
    networks
        .check(connection)
        .map_err(|err| NeedFault { kind: NeedKind::Network, message: message(&err) })
}

fn message(err: &AttachError) -> String {
    let why = chain(err);
    let AttachError::NotMapped(name) = err else { return format!("{why}.") };
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let key = if bare { name.clone() } else { format!("{name:?}") };
    format!(
        "{why}. Add to the server's settings file, with a link and addresses of yours:\n\
         [networks.{key}]\n\
         bridge = \"br0\" # or docker = \"NETWORK\", or interface = \"eth1\"\n\
         range = \"10.8.0.64/26\" # addresses for tasks, that nobody else gives\n\
         or start it with --vpc-network {name}=bridge:br0,range:10.8.0.64/26"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use groundrun_core::needs::Egress;
    use groundrun_host::network::Apart;

    use super::*;

    fn said(apart: Option<Apart>, name: &str) -> String {
        let networks = Networks::new(BTreeMap::new(), apart);
        let connection = Connection { names: vec![name.to_owned()], egress: Egress::All };
        let fault = check(&networks, &connection).expect_err("there are none");
        assert_eq!(fault.kind, NeedKind::Network);
        fault.message
    }

    #[test]
    fn a_network_that_is_not_mapped_is_told_with_the_lines_to_add() {
        let message = said(None, "projects/p/locations/l/connectors/conn");
        let expected = "VPC network 'conn' is mapped to no network of this machine. \
            Add to the server's settings file, with a link and addresses of yours:\n\
            [networks.conn]\n\
            bridge = \"br0\" # or docker = \"NETWORK\", or interface = \"eth1\"\n\
            range = \"10.8.0.64/26\" # addresses for tasks, that nobody else gives\n\
            or start it with --vpc-network conn=bridge:br0,range:10.8.0.64/26";
        assert_eq!(message, expected);
        let lines = message.lines().skip(1).take(3).collect::<Vec<_>>().join("\n");
        #[derive(serde::Deserialize)]
        struct File {
            networks: BTreeMap<String, crate::networks::NetworkFile>,
        }
        let file: File = toml::from_str(&lines).expect("the lines are settings");
        assert!(
            crate::networks::mapped(&file.networks, &[]).is_ok_and(|it| it.contains_key("conn"))
        );
    }

    #[test]
    fn a_server_that_attaches_nothing_says_why() {
        for (apart, why) in [
            (Apart::OnHost, "--network host"),
            (Apart::Alone, "--network none"),
            (Apart::OfUser, "ordinary user"),
        ] {
            let message = said(Some(apart), "conn");
            assert!(message.contains("'conn'") && message.contains(why), "{message}");
        }
    }
}
