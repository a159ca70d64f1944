//! An object store behind a URL, by the crate `object_store`: `s3://`, `gs://`, `az://`, `file://` and
//! `https://` (WebDAV). Keys are relative to the URL. Each error is one sentence that names the object.
//!
//! Credentials are those that each cloud's own tools read: environment, instance metadata, workload
//! identity, and for S3 the shared files (see [`credentials`]).

mod credentials;
mod errors;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    ObjectStoreScheme, PutMode, PutOptions, PutPayload, RetryConfig,
};
use std::env;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a request is repeated while the network or the server fails.
const PATIENCE: Duration = Duration::from_secs(60);
/// The header's content for a WebDAV server, such as `Basic dXNlcjpwYXNz`.
const AUTHORIZATION: &str = "AFTERPANIC_FLEET_AUTHORIZATION";

/// What kind of store it is, where that matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A directory of this machine.
    Local(PathBuf),
    /// S3, Google Cloud Storage or Azure.
    Cloud,
    /// WebDAV: no multipart uploads and no conditional writes.
    Http,
}

/// An object store and the prefix in it.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
    /// What kind of store it is.
    pub kind: Kind,
}

/// The store does not answer, so nothing else in it can be read either.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(String);

/// The store answers, and these credentials may not do that.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(String);

/// What came of a conditional write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Created {
    /// The object is new.
    Yes,
    /// There is one of that name already.
    Taken,
}

impl Bucket {
    /// Opens a URL, or the path of a directory.
    pub(crate) fn open(text: &str) -> Result<Self> {
        let url = match text.starts_with('/') {
            true => Url::from_file_path(text)
                .ok()
                .context("this is not a path")?,
            false => Url::parse(text).with_context(|| format!("{text} is not a URL"))?,
        };
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).with_context(|| {
            format!("{text}: use s3://, gs://, az://, file:// or https:// (WebDAV)")
        })?;
        let made = make(&scheme, &url).with_context(|| format!("cannot use {text}"));
        let kind = match scheme {
            ObjectStoreScheme::Local => {
                Kind::Local(url.to_file_path().ok().context("this is not a path")?)
            }
            ObjectStoreScheme::Http => Kind::Http,
            _ => Kind::Cloud,
        };
        // A password in a URL is never printed.
        let mut shown = url;
        let _ = shown.set_password(None);
        let _ = shown.set_username("");
        Ok(Self {
            store: made?,
            prefix,
            url: shown.as_str().trim_end_matches('/').to_owned(),
            kind,
        })
    }

    /// The URL, without credentials.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where a key is in the store.
    pub(crate) fn at(&self, key: &str) -> Path {
        let parts = key.split('/').filter(|part| !part.is_empty());
        parts.fold(self.prefix.clone(), Path::join)
    }

    /// The key of a location below the URL.
    pub(crate) fn key<'a>(&self, location: &'a Path) -> &'a str {
        let rest = location.as_ref().strip_prefix(self.prefix.as_ref());
        rest.unwrap_or(location.as_ref()).trim_start_matches('/')
    }

    fn failed(&self, doing: &str, key: &str, error: &Error) -> anyhow::Error {
        let said = format!(
            "cannot {doing} {key} in {}: {}",
            self.url,
            errors::why(error)
        );
        let local = matches!(self.kind, Kind::Local(_));
        match error {
            Error::Generic { .. } | Error::Unauthenticated { .. } if !local => {
                Unreachable(said).into()
            }
            _ if !local && errors::everywhere(error).is_some() => Unreachable(said).into(),
            Error::PermissionDenied { .. } if !local => Denied(said).into(),
            _ => anyhow::anyhow!(said),
        }
    }

    /// Writes an object in place of another.
    pub(crate) async fn put(&self, key: &str, content: Bytes) -> Result<()> {
        let done = self.store.put(&self.at(key), content.into()).await;
        done.map(drop).map_err(|e| self.failed("write", key, &e))
    }

    /// Writes an object, unless one of that name exists.
    pub(crate) async fn create(&self, key: &str, content: Bytes) -> Result<Created> {
        let options = PutOptions::from(PutMode::Create);
        let payload = PutPayload::from(content);
        match self.store.put_opts(&self.at(key), payload, options).await {
            Ok(_) => Ok(Created::Yes),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Taken),
            Err(Error::NotImplemented { .. }) => bail!("{}", self.unconditional()),
            Err(error) => Err(self.failed("write", key, &error)),
        }
    }

    /// Why there is no index of a WebDAV server.
    pub(crate) fn unconditional(&self) -> String {
        format!(
            "{} has no conditional writes, which the index needs. Use s3://, gs://, az:// or file://",
            self.url
        )
    }

    /// Begins a large object that is written in parts.
    pub(crate) async fn begin(&self, key: &str) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.store.put_multipart(&self.at(key)).await;
        begun.map_err(|e| self.failed("write", key, &e))
    }

    /// A failed part of a large object.
    pub(crate) fn part_failed(&self, key: &str, error: &Error) -> anyhow::Error {
        self.failed("write", key, error)
    }

    /// A whole object of at most `max` bytes; `None` if it does not exist.
    pub(crate) async fn get(&self, key: &str, max: u64) -> Result<Option<Bytes>> {
        let found = match self.store.get(&self.at(key)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", key, &error)),
        };
        let size = found.meta.size;
        if size > max {
            bail!("{key} has {size} bytes, more than {max}");
        }
        let bytes = found.bytes().await;
        bytes.map(Some).map_err(|e| self.failed("read", key, &e))
    }

    /// A part of an object.
    pub(crate) async fn range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let read = self.store.get_range(&self.at(key), range).await;
        read.map_err(|e| self.failed("read", key, &e))
    }

    /// An object as a stream, with its size.
    pub(crate) async fn stream(
        &self,
        key: &str,
    ) -> Result<(u64, BoxStream<'static, object_store::Result<Bytes>>)> {
        let found = self.store.get(&self.at(key)).await;
        let found = found.map_err(|e| self.failed("read", key, &e))?;
        Ok((found.meta.size, found.into_stream()))
    }

    /// The size of an object; `None` if it does not exist.
    pub(crate) async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self.store.head(&self.at(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", key, &error)),
        }
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.at(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", key, &error)),
        }
    }

    /// Every object below a key, in the order of the keys; those behind `after`, where it is given.
    pub(crate) fn list(
        &self,
        key: &str,
        after: Option<&str>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (at, key, this) = (self.at(key), key.to_owned(), self.clone());
        let failed = move |result: object_store::Result<ObjectMeta>| {
            result.map_err(|error| this.failed("list", &key, &error))
        };
        let list = match after {
            Some(after) => self.store.list_with_offset(Some(&at), &self.at(after)),
            None => self.store.list(Some(&at)),
        };
        // Some of them panic when they are asked again behind their end.
        list.map(failed).fuse().boxed()
    }

    /// The directories directly below a key, by their whole paths.
    pub(crate) async fn below(&self, key: &str) -> Result<Vec<Path>> {
        if let Kind::Local(root) = &self.kind {
            return self.directories(&root.join(key), key);
        }
        let listed = self.store.list_with_delimiter(Some(&self.at(key))).await;
        let listed = listed.map_err(|e| self.failed("list", key, &e))?;
        Ok(listed.common_prefixes)
    }

    /// The same in a directory of this machine, where one strange name must not hide the others.
    fn directories(&self, dir: &FilePath, key: &str) -> Result<Vec<Path>> {
        let shown = || format!("cannot list {}", dir.display());
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(shown),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.with_context(shown)?;
            let name = entry.file_name();
            let plain = name.to_str().filter(|name| Path::parse(name).is_ok());
            if let Some(name) = plain.filter(|_| entry.path().is_dir()) {
                found.push(self.at(&format!("{key}/{name}")));
            }
        }
        Ok(found)
    }
}

/// The variables of one cloud, with names as the builders know them.
fn variables(prefix: &'static str) -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(move |(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        name.starts_with(prefix)
            .then(|| (name.to_ascii_lowercase(), value))
    })
}

fn make(scheme: &ObjectStoreScheme, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let retry = || RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 5,
        retry_timeout: PATIENCE,
    };
    Ok(match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new().with_fsync(true)),
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::new()
                .with_url(url.as_str())
                .with_retry(retry())
                // The server compares each part with its hash.
                .with_checksum_algorithm(Checksum::SHA256);
            let all = credentials::shared().into_iter().chain(variables("AWS_"));
            let builder = all.fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Arc::new(builder.build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::new()
                .with_url(url.as_str())
                .with_retry(retry());
            let builder =
                variables("GOOGLE_").fold(builder, |builder, (name, value)| match name.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
            Arc::new(builder.build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::new()
                .with_url(url.as_str())
                .with_retry(retry());
            let builder =
                variables("AZURE_").fold(builder, |builder, (name, value)| match name.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
            Arc::new(builder.build()?)
        }
        ObjectStoreScheme::Http => {
            let mut options = ClientOptions::new().with_allow_http(true);
            if let Ok(value) = env::var(AUTHORIZATION) {
                let value = value
                    .parse()
                    .with_context(|| format!("{AUTHORIZATION} is no header"))?;
                let headers = [("authorization".parse()?, value)].into_iter().collect();
                options = options.with_default_headers(headers);
            }
            let mut base = url.clone();
            base.set_path("");
            base.set_query(None);
            base.set_fragment(None);
            Arc::new(
                HttpBuilder::new()
                    .with_url(base.as_str())
                    .with_client_options(options)
                    .with_retry(retry())
                    .build()?,
            )
        }
        _ => bail!("use s3://, gs://, az://, file:// or https:// (WebDAV)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(dir.path().to_str().unwrap()).unwrap();
        let first = bucket
            .create("a/b", Bytes::from_static(b"1"))
            .await
            .unwrap();
        let second = bucket
            .create("a/b", Bytes::from_static(b"2"))
            .await
            .unwrap();
        assert_eq!((first, second), (Created::Yes, Created::Taken));
        assert_eq!(bucket.get("a/b", 9).await.unwrap().unwrap(), "1");
        assert_eq!(bucket.get("a/c", 9).await.unwrap(), None);
        bucket
            .put("a/b", Bytes::from_static(b"1234"))
            .await
            .unwrap();
        let large = bucket.get("a/b", 3).await.unwrap_err().to_string();
        assert_eq!(large, "a/b has 4 bytes, more than 3");
        assert_eq!(bucket.key(&bucket.at("a/b")), "a/b");
        bucket.remove("a/b").await.unwrap();
        bucket.remove("a/b").await.unwrap();
        assert_eq!(bucket.size("a/b").await.unwrap(), None);
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["ftp://x/y", "not a url", "memory:///"] {
            assert!(Bucket::open(url).is_err(), "{url}");
        }
    }
}
