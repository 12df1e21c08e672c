//! What tasks may ask about themselves and about names, wired to the journal and to the user's settings.

use std::{path::Path, sync::Arc};

use groundrun_metadata::{Mint, TokenFault, World};
use groundrun_server::{BoundServer, PublicKeys};
use serde_json::Value;

use crate::world;

/// Makes tokens, with keys kept below the data directory.
pub(crate) fn mint(data_dir: &Path) -> Arc<Mint> {
    Arc::new(Mint::new(data_dir.join("keys"), surroundings()))
}

/// Tokens are issued in the name of the address that publishes their keys.
pub(crate) fn publish(mint: &Arc<Mint>, front: &BoundServer) {
    mint.issue_as(&format!("http://{}", front.local_addr()));
    front.publish(Arc::new(Published(Arc::clone(mint))));
}

fn surroundings() -> World {
    World { clock: Arc::new(world::now), random: Arc::new(world::random) }
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
