//! Pictures for the demo's phones: small real PNG files, each another one.

/// A picture of coloured bars, without any library: the pixels are stored, not compressed.
pub(super) fn png(n: usize) -> Vec<u8> {
    const WIDTH: u32 = 96;
    const HEIGHT: u32 = 64;
    let mut pixels = Vec::new();
    for y in 0..HEIGHT {
        // Each row begins with its filter: none.
        pixels.push(0);
        for x in 0..WIDTH {
            let bar = (x / 12 + y / 16) as usize + n;
            pixels.extend([(bar * 53 % 200 + 40) as u8, (bar * 97 % 200 + 40) as u8, (n * 31 % 200 + 40) as u8]);
        }
    }
    let mut header = Vec::new();
    header.extend(WIDTH.to_be_bytes());
    header.extend(HEIGHT.to_be_bytes());
    // Eight bits a sample, RGB, the usual methods, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut file = vec![0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
    chunk(&mut file, b"IHDR", &header);
    chunk(&mut file, b"IDAT", &zlib(&pixels));
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend(u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    let begin = file.len();
    file.extend(name);
    file.extend(data);
    let crc = crc32(&file[begin..]);
    file.extend(crc.to_be_bytes());
}

/// A zlib stream of one stored block, for at most 65,535 bytes.
fn zlib(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let data = &data[..usize::from(length)];
    let mut out = vec![0x78, 0x01, 0x01];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(data);
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_checksums_are_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(zlib(b"Wikipedia").as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, b"Wikipedia", "the decoder checks the sum");
        assert_ne!(png(1), png(2));
    }
}
