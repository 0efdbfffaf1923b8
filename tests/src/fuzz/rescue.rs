//! Rescue files with any content, sealed right.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// The passphrase of every file here.
pub(super) const PASSPHRASE: &str = "a long passphrase";
/// Bytes before what is sealed.
pub(super) const HEADER: usize = 12 + 1 + 12 + 16 + 24;

/// Seals a content with the least work for the key.
pub(super) fn seal(content: &[u8]) -> Vec<u8> {
    let mut out = b"ONSITERESCUE\x01".to_vec();
    for n in [8_u32, 1, 1] {
        out.extend(n.to_be_bytes());
    }
    out.extend([7; 16 + 24]);
    let mut key = [0; 32];
    let params = Params::new(8, 1, 1, Some(32)).expect("parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PASSPHRASE.as_bytes(), &[7; 16], &mut key)
        .expect("a key");
    let cipher = XChaCha20Poly1305::new(&key.into());
    let mut content = content.to_vec();
    cipher.encrypt_in_place(&XNonce::from([7; 24]), &out, &mut content).expect("sealed");
    out.extend(content);
    out
}
