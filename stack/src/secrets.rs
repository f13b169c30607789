//! Secrets of a local stack, made on this machine at its first start and readable by nobody else.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;

use crate::error::{Context, Result, StackError};

/// What stands before the 32 bytes of an Ed25519 public key in its DER form (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Makes whatever is missing below `secrets/`, and leaves what is there alone.
pub(crate) fn ensure(secrets: &Path) -> Result<()> {
    for name in ["order-id.key", "cursor.key"] {
        let path = secrets.join(name);
        if !path.exists() {
            write_private(&path, &format!("{}\n", random_hex(32)))?;
        }
    }
    ensure_token_key(&secrets.join("jwt"))
}

/// Random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

/// The pair that signs local tokens: `local.pem` (PKCS#8) and `local.pub.pem` (SPKI), key id `local`.
fn ensure_token_key(folder: &Path) -> Result<()> {
    let private = folder.join("local.pem");
    let public = folder.join("local.pub.pem");
    if private.exists() && public.exists() {
        return Ok(());
    }
    let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new())
        .map_err(|_| StackError::KeyGeneration)?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| StackError::KeyGeneration)?;
    let spki = [&ED25519_SPKI_PREFIX, pair.public_key().as_ref()].concat();
    write_private(&private, &pem("PRIVATE KEY", pkcs8.as_ref()))?;
    std::fs::write(&public, pem("PUBLIC KEY", &spki)).at(&public)
}

fn pem(label: &str, der: &[u8]) -> String {
    // Both keys fit on the 64 characters of one line, or on two.
    let text = STANDARD.encode(der);
    let lines: Vec<String> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .at(&partial)?;
    file.write_all(content.as_bytes()).at(&partial)?;
    std::fs::rename(&partial, path).at(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder_with_secrets() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("jwt")).unwrap();
        ensure(folder.path()).unwrap();
        folder
    }

    #[test]
    fn private_files_are_for_their_owner_only() {
        let folder = folder_with_secrets();
        for name in ["order-id.key", "cursor.key", "jwt/local.pem"] {
            let mode = folder
                .path()
                .join(name)
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn the_public_key_belongs_to_the_private_one() {
        let folder = folder_with_secrets();
        let der = |name: &str| {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            let body: String = text
                .lines()
                .filter(|line| !line.starts_with("-----"))
                .collect();
            STANDARD.decode(body).unwrap()
        };
        let pair = Ed25519KeyPair::from_pkcs8(&der("jwt/local.pem")).unwrap();
        assert!(der("jwt/local.pub.pem").ends_with(pair.public_key().as_ref()));
    }

    #[test]
    fn a_second_start_keeps_the_keys() {
        let folder = folder_with_secrets();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let before = (read("order-id.key"), read("jwt/local.pem"));
        ensure(folder.path()).unwrap();
        assert_eq!(before, (read("order-id.key"), read("jwt/local.pem")));
    }
}
