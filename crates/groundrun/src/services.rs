//! What tasks may ask about themselves and about names, wired to the journal and to the user's settings.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use groundrun_core::id::{AttemptId, ExecutionUid};
use groundrun_host::network::{TaskServices, TaskSockets};
use groundrun_metadata::{
    HostCredentials, Lookup, Mint, Services, Settings, Sockets, TaskIdentity, TokenFault, World,
    of_the_machine,
};
use groundrun_server::{BoundServer, Projects, PublicKeys};
use groundrun_store::{Store, StoreError};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{
    cli::{Adc, Network, exit::Stop},
    config::Ground,
    world,
};

/// Answers tasks, and publishes what their tokens are checked with.
pub(crate) struct Answers {
    mint: Arc<Mint>,
    services: Services,
}

impl Answers {
    /// Signing keys are kept below the data directory. Serves on the runtime of the caller.
    pub(crate) fn open(
        ground: &Ground,
        data_dir: &Path,
        projects: Projects,
        store: Store,
    ) -> Result<Self, Stop> {
        let world = World { clock: Arc::new(world::now), random: Arc::new(world::random) };
        let mint = Arc::new(Mint::new(data_dir.join("keys"), world.clone()));
        let settings = Settings {
            lookup: lookup(store, projects),
            mint: Arc::clone(&mint),
            host_credentials: host_credentials(ground, &world)?,
            world,
            resolvers: of_the_machine(),
            host_ports: ground.host_ports.clone(),
        };
        Ok(Self { mint, services: Services::new(settings, Handle::current()) })
    }

    /// Tokens are issued in the name of the address that publishes their keys.
    pub(crate) fn publish(&self, front: &BoundServer) {
        self.mint.issue_as(&format!("http://{}", front.local_addr()));
        front.publish(Arc::new(Published(Arc::clone(&self.mint))));
    }

    /// What `host.docker.internal` means to tasks.
    pub(crate) fn host_is_at(&self, address: Ipv4Addr) {
        self.services.host_is_at(address);
    }
}

impl TaskServices for Answers {
    fn attend(&self, id: AttemptId, sockets: TaskSockets) {
        let TaskSockets { metadata, dns_udp, dns_tcp, host_ports } = sockets;
        self.services.attend(id, Sockets { metadata, dns_udp, dns_tcp, host_ports });
    }

    fn leave(&self, id: AttemptId) {
        self.services.leave(id);
    }
}

fn host_credentials(ground: &Ground, world: &World) -> Result<Option<HostCredentials>, Stop> {
    match (ground.adc, ground.network) {
        (Adc::Task, _) => Ok(None),
        (Adc::Host, Network::Private) => {
            let file = world::application_default_credentials()?;
            let open = HostCredentials::open(&file, world.clone());
            open.map(Some).map_err(|e| Stop::cannot_run_here(vec![format!("--adc=host: {e}")]))
        }
        (Adc::Host, Network::Host | Network::None) => Err(Stop::bad_input(
            "--adc=host needs --network private: in other networks there is no metadata server",
        )),
    }
}

/// Who the tasks of an execution are, as the journal has it.
fn lookup(store: Store, projects: Projects) -> Lookup {
    Arc::new(move |uid: ExecutionUid| {
        let found = store.read(|view| view.execution_by_uid(uid));
        let found = found.inspect_err(|error: &StoreError| {
            tracing::error!(%error, "an execution cannot be read for its task");
        });
        let execution = found.ok().flatten()?;
        let template = execution.spec.template.as_ref();
        let task = template.and_then(|template| template.spec.as_ref());
        Some(TaskIdentity {
            project_number: projects.number(&execution.scope.project),
            // Admission writes it into every spec.
            service_account: task.and_then(|task| task.service_account_name.clone())?,
            project: execution.scope.project,
            region: execution.scope.region,
            execution: execution.name,
        })
    })
}

/// The mint as the front sees it.
struct Published(Arc<Mint>);

impl PublicKeys for Published {
    fn jwks(&self) -> Result<Value, String> {
        self.0.jwks().map_err(said)
    }

    fn pem(&self) -> Result<Value, String> {
        self.0.pem().map_err(said)
    }

    fn discovery(&self) -> Result<Value, String> {
        self.0.discovery().map_err(said)
    }

    fn caching(&self) -> String {
        Mint::key_caching()
    }
}

fn said(fault: TokenFault) -> String {
    tracing::error!(%fault, "the keys of tokens cannot be published");
    fault.to_string()
}
