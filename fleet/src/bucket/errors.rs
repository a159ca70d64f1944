//! Why an object store refused, for people.

use object_store::Error;
use std::error::Error as _;

/// One clause without a newline.
pub(super) fn why(error: &Error) -> String {
    let said = chain(error);
    for (mark, words) in [
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
        ("ExpiredToken", "the credentials have expired; get new ones"),
        ("NoSuchBucket", "the server has no such bucket"),
        (
            "instance-metadata",
            "there are no credentials; set them as for the cloud's own tools",
        ),
        (
            "169.254.169.254",
            "there are no credentials; set them as for the cloud's own tools",
        ),
        (
            "dns error",
            "the server's name cannot be resolved; is there a network?",
        ),
        (
            "onnect error",
            "no connection to the server; is there a network?",
        ),
        (
            "error sending request",
            "no connection to the server; is there a network?",
        ),
    ] {
        if said.contains(mark) {
            return words.to_owned();
        }
    }
    match error {
        Error::PermissionDenied { .. } => "these credentials may not do that".into(),
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
