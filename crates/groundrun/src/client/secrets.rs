//! Secrets, in `secretmanager.googleapis.com/v1` of the same server.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, ClientError, form};

impl Client {
    fn secret_path(&self, rest: &str) -> String {
        format!("{}/v1/projects/{}/secrets{rest}", self.base, self.project)
    }

    /// Adds a version that holds `payload`, to a secret that is made if it is not there. Gives the version.
    pub(crate) async fn set_secret(
        &self,
        name: &str,
        payload: &[u8],
    ) -> Result<Value, ClientError> {
        let query = form(&[("secretId", name)]);
        let secret = json!({"replication": {"automatic": {}}});
        let url = self.secret_path(&format!("?{query}"));
        match self.call::<Value>(Method::POST, url, Some(secret)).await {
            Ok(_) | Err(ClientError::Refused { http: 409, .. }) => {}
            Err(other) => return Err(other),
        }
        let body = json!({"payload": {"data": STANDARD.encode(payload)}});
        let url = self.secret_path(&format!("/{name}:addVersion"));
        self.call(Method::POST, url, Some(body)).await
    }

    pub(crate) async fn secrets(&self, most: usize) -> Result<Vec<Value>, ClientError> {
        self.secret_rows(self.secret_path(""), "secrets", most).await
    }

    pub(crate) async fn secret_versions(
        &self,
        name: &str,
        most: usize,
    ) -> Result<Vec<Value>, ClientError> {
        self.secret_rows(self.secret_path(&format!("/{name}/versions")), "versions", most).await
    }

    pub(crate) async fn delete_secret(&self, name: &str) -> Result<Value, ClientError> {
        self.call(Method::DELETE, self.secret_path(&format!("/{name}")), None).await
    }

    /// Every row of a list, page by page.
    async fn secret_rows(
        &self,
        url: String,
        kind: &str,
        most: usize,
    ) -> Result<Vec<Value>, ClientError> {
        let mut rows = Vec::new();
        let mut token = String::new();
        loop {
            let query = form(&[("pageSize", "100"), ("pageToken", &token)]);
            let mut page: Value = self.call(Method::GET, format!("{url}?{query}"), None).await?;
            if let Some(items) = page[kind].as_array_mut() {
                rows.append(items);
            }
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() || rows.len() >= most {
                rows.truncate(most);
                return Ok(rows);
            }
        }
    }
}
