//! The key that names credentials without telling them: made once for each installation, in a file of
//! its own beside the database.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::Connection;
use sha2::Sha256;

use super::error::{BudgetError, broken, failed};

/// HMAC-SHA-256 (RFC 2104) of a credential, the first 128 bits in hex.
pub(super) fn fingerprint(secret: &[u8; 32], credential: &str) -> String {
    // A key shorter than the hash's block is padded with zeros by the standard itself.
    let mut block = [0_u8; 64];
    block[..32].copy_from_slice(secret);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(credential.as_bytes());
    mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The key is made once; one that was cut short by a crash is made anew.
pub(super) fn read_or_make(
    file: &mut File,
    database: &Connection,
    path: &Path,
    key_path: &Path,
) -> Result<[u8; 32], BudgetError> {
    let mut bytes = Vec::new();
    file.take(33).read_to_end(&mut bytes).map_err(|error| broken(key_path, "read", &error))?;
    if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(key);
    }
    // SQLite seeds its generator from the system's.
    let key: [u8; 32] = database
        .query_row("SELECT randomblob(32)", [], |row| row.get(0))
        .map_err(|error| failed(path, "read", &error))?;
    let mut write = || {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&key)?;
        file.sync_all()
    };
    write().map_err(|error| broken(key_path, "write to", &error))?;
    Ok(key)
}
