//! The connections to one socket of a task's, bounded in number.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// How long to wait after the kernel refused a connection for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Lets `converse` have each connection, at most `most` at once; more wait in the kernel's backlog. Goes on until it is
/// dropped, and its connections with it.
pub(crate) async fn serve<F>(listener: TcpListener, most: usize, converse: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let conversation = converse(stream);
                connections.spawn(async move {
                    conversation.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a task's connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
