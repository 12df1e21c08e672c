//! What admission and rendering must know of the place: the project, and where its console is.

/// The project that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its id, such as `demo`.
    pub project: String,
    /// Its number, 12 digits: `metadata.namespace` of every reply.
    pub number: String,
    /// Scheme and authority that `logUri` begins with, without a final `/`.
    pub console: String,
}

impl Context {
    /// The service account of jobs that name none (fact: semantics 11).
    #[must_use]
    pub fn default_service_account(&self) -> String {
        format!("{}-compute@developer.gserviceaccount.com", self.number)
    }

    /// Does `namespace` mean this project? Its id and its number do.
    #[must_use]
    pub fn is_called(&self, namespace: &str) -> bool {
        namespace == self.project || namespace == self.number
    }
}
