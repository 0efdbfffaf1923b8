//! Workbooks as a target's input.

#[path = "../../../sync-server/src/import/xlsx.rs"]
mod archive;

pub(super) use archive::{unzip, zip};

/// Parts as a target's input holds them: name, zero, length, bytes.
pub(super) fn parts(mut input: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some(end) = input.iter().position(|b| *b == 0) {
        let name = String::from_utf8_lossy(&input[..end]).into_owned();
        let Some((len, rest)) = input[end + 1..].split_first_chunk::<4>() else { break };
        let len = (u32::from_be_bytes(*len) as usize).min(rest.len());
        out.push((name, rest[..len].to_vec()));
        input = &rest[len..];
        if out.len() == 16 {
            break;
        }
    }
    out
}

/// The other way.
pub(super) fn input(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in parts {
        out.extend(name.as_bytes());
        out.push(0);
        out.extend((bytes.len() as u32).to_be_bytes());
        out.extend(bytes);
    }
    out
}
