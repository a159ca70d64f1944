//! Why an object store refused, for people.

use object_store::Error;
use std::error::Error as _;

const NO_CREDENTIALS: &str = "there are no credentials; set them as for the cloud's own tools";
const MAY_NOT: &str = "these credentials may not do that";
const NO_CONNECTION: &str = "no connection to the server; is there a network?";
/// Marks of errors that every request to this store would have, and what to do.
const EVERYWHERE: [(&str, &str); 15] = [
    (
        "RequestTimeTooSkewed",
        "this machine's clock is too far from the server's; set it (timedatectl set-ntp true)",
    ),
    (
        "InvalidAccessKeyId",
        "the server does not know the access key; check the credentials",
    ),
    (
        "SignatureDoesNotMatch",
        "the secret key does not fit the access key; check the credentials",
    ),
    (
        "Server failed to authenticate the request",
        "the server did not accept the credentials, or this machine's clock is wrong",
    ),
    ("ExpiredToken", "the credentials have expired; get new ones"),
    ("NoSuchBucket", "the server has no such bucket"),
    ("ContainerNotFound", "the server has no such container"),
    // The paths of the clouds' metadata servers, which are asked last.
    ("latest/api/token", NO_CREDENTIALS),
    ("latest/meta-data", NO_CREDENTIALS),
    ("computeMetadata", NO_CREDENTIALS),
    ("metadata/identity", NO_CREDENTIALS),
    (
        "invalid peer certificate",
        "the server's certificate is not trusted; SSL_CERT_FILE names the certificates to trust",
    ),
    (
        "dns error",
        "the server's name cannot be resolved; is there a network?",
    ),
    ("onnect error", NO_CONNECTION),
    ("error sending request", NO_CONNECTION),
];

/// Why every request to this store fails; `None` where it is not known to be so.
pub(super) fn everywhere(error: &Error) -> Option<&'static str> {
    let said = chain(error);
    let found = EVERYWHERE.iter().find(|(mark, _)| said.contains(mark));
    found.map(|(_, words)| *words)
}

/// One clause without a newline.
pub(super) fn why(error: &Error) -> String {
    if let Some(words) = everywhere(error) {
        return words.to_owned();
    }
    let said = chain(error);
    match error {
        Error::PermissionDenied { .. } => MAY_NOT.into(),
        // Listings have no kind of error of their own for it.
        _ if said.contains("403 Forbidden") => MAY_NOT.into(),
        Error::Unauthenticated { .. } => "the server did not accept the credentials".into(),
        Error::NotFound { .. } => "there is no such object".into(),
        Error::InvalidPath { source } => format!("a key in it is no valid path ({source})"),
        _ => said,
    }
}

/// The error and its sources that add something, in one line.
fn chain(error: &Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    for _ in 0..16 {
        let Some(inner) = source else { break };
        let text = inner.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        source = inner.source();
    }
    let said: Vec<&str> = said.split_whitespace().collect();
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_reasons_have_words() {
        let of = |text: &str| {
            why(&Error::Generic {
                store: "S3",
                source: text.to_owned().into(),
            })
        };
        assert!(of("<Code>RequestTimeTooSkewed</Code>").contains("clock"));
        assert!(of("error sending request for url").contains("network"));
        assert_eq!(of("a\nb"), "Generic S3 error: a b");
    }
}
