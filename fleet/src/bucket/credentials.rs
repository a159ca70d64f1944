//! The files in which S3's tools keep credentials: `~/.aws/credentials` and `~/.aws/config`, or what
//! AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name. `object_store` reads everything else by itself.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Keys that are taken from the files.
const KEYS: [&str; 5] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "region",
    "endpoint_url",
];

/// What the files say, by the names that `object_store` knows. The environment goes before them.
pub(super) fn shared() -> Vec<(String, String)> {
    let profile = env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
    let file = |variable: &str, name: &str| {
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".aws").join(name));
        let path = env::var_os(variable).map(PathBuf::from).or_else(home)?;
        fs::read_to_string(path).ok()
    };
    let mut found = Vec::new();
    if let Some(text) = file("AWS_CONFIG_FILE", "config") {
        found.extend(section(&text, &profile));
    }
    if let Some(text) = file("AWS_SHARED_CREDENTIALS_FILE", "credentials") {
        found.extend(section(&text, &profile));
    }
    found
}

/// The keys of one profile: `[name]` in one file, `[profile name]` in the other.
fn section(text: &str, profile: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let name = name.trim();
            inside = name.strip_prefix("profile ").unwrap_or(name).trim() == profile;
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
            && let Some(key) = KEYS.iter().find(|known| **known == key.trim())
        {
            let name = match key.starts_with("aws_") {
                true => (*key).to_owned(),
                false => format!("aws_{key}"),
            };
            found.push((name, value.trim().to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read() {
        let text = "[default]\naws_access_key_id = A\n[profile fleet]\n# x\nregion=eu-1\n other = 1\n\
                    aws_secret_access_key = s=\n[last]\nregion = no\n";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let found = section(text, "fleet");
        assert_eq!(
            found,
            [
                pair("aws_region", "eu-1"),
                pair("aws_secret_access_key", "s=")
            ]
        );
        assert_eq!(section(text, "default"), [pair("aws_access_key_id", "A")]);
    }
}
