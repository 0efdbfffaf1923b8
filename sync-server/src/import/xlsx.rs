//! Workbooks put together from their parts, with right sizes and checksums.

/// A ZIP archive of stored parts.
pub(crate) fn zip(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in parts {
        let at = out.len() as u32;
        let mut common = vec![20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0x58];
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        common.extend(crc.sum().to_le_bytes());
        common.extend([(bytes.len() as u32).to_le_bytes(); 2].as_flattened());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, len, count) = (out.len() as u32, directory.len() as u32, parts.len() as u16);
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(); 2].as_flattened());
    out.extend(len.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The entries of an archive, whatever packed it.
pub(crate) fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    use std::io::Read as _;
    let mut out = Vec::new();
    let number = |at: usize, n: usize| {
        let bytes = bytes.get(at..at + n)?;
        Some(bytes.iter().rev().fold(0_usize, |sum, b| sum << 8 | usize::from(*b)))
    };
    for at in 0..bytes.len().saturating_sub(46) {
        if !bytes[at..].starts_with(b"PK\x01\x02") {
            continue;
        }
        let entry = || {
            let (method, packed, name_len) = (number(at + 10, 2)?, number(at + 20, 4)?, number(at + 28, 2)?);
            let start = number(at + 42, 4)?;
            let name = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + name_len)?).into_owned();
            let data = start + 30 + number(start + 26, 2)? + number(start + 28, 2)?;
            let data = bytes.get(data..data + packed)?;
            let mut plain = Vec::new();
            match method {
                0 => plain.extend(data),
                _ => {
                    flate2::read::DeflateDecoder::new(data).read_to_end(&mut plain).ok()?;
                }
            }
            Some((name, plain))
        };
        out.extend(entry());
    }
    out
}
