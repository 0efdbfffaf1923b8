//! Photos made small. A photo is whatever somebody uploaded: it is decoded by
//! its own first bytes, within limits of pixels and memory, a few at a time,
//! and what comes out is a JPEG of our own making.

use crate::error::{Error, Result};
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder};
use onsite_core::domain::{Sha256, TenantId};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Longest side of a thumbnail in pixels.
pub const EDGE: u32 = 360;
/// Quality of a thumbnail's JPEG.
const QUALITY: u8 = 80;
/// Longest side of a photo that is decoded.
const MAX_SIDE: u32 = 16_384;
/// Most pixels of a photo that is decoded.
const MAX_PIXELS: u64 = 50_000_000;
/// Most bytes that a decoder may ask for.
const MAX_MEMORY: u64 = 256 << 20;

/// Photos decoded at once: each may take [`MAX_MEMORY`] and a processor.
static DECODING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// Why there is no thumbnail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoPicture {
    /// Not JPEG, PNG or WebP.
    #[error("neither JPEG, PNG nor WebP")]
    Unknown,
    /// More pixels than are decoded.
    #[error("more pixels than are decoded")]
    TooLarge,
    /// It says to be one, and is not.
    #[error("a damaged picture")]
    Damaged,
}

/// What a browser may show in place, by its first bytes: the sender's word counts for nothing.
pub fn media_type(first: &[u8]) -> Option<&'static str> {
    format(first).map(|f| f.to_mime_type())
}

fn format(first: &[u8]) -> Option<ImageFormat> {
    if first.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(ImageFormat::Jpeg)
    } else if first.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageFormat::Png)
    } else if first.starts_with(b"RIFF") && first.get(8..12) == Some(b"WEBP") {
        Some(ImageFormat::WebP)
    } else {
        None
    }
}

/// A photo made small, upright, as JPEG without its metadata.
///
/// # Errors
/// [`NoPicture`].
pub fn thumbnail(bytes: &[u8]) -> std::result::Result<Vec<u8>, NoPicture> {
    let format = format(bytes).ok_or(NoPicture::Unknown)?;
    // The decoders are not ours: one that panics has met a damaged picture.
    std::panic::catch_unwind(|| decode(bytes, format)).unwrap_or(Err(NoPicture::Damaged))
}

fn decode(bytes: &[u8], format: ImageFormat) -> std::result::Result<Vec<u8>, NoPicture> {
    let damaged = |_| NoPicture::Damaged;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let limited = |e| match e {
        image::ImageError::Limits(_) => NoPicture::TooLarge,
        _ => NoPicture::Damaged,
    };
    let mut decoder = reader.into_decoder().map_err(limited)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_MEMORY {
        return Err(NoPicture::TooLarge);
    }
    let upright = decoder.orientation().map_err(damaged)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(limited)?;
    // A small one is not made larger.
    let mut small = match width.max(height) > EDGE {
        true => picture.thumbnail(EDGE, EDGE),
        false => picture,
    };
    small.apply_orientation(upright);
    let mut out = Vec::new();
    let flat = over_white(&small);
    flat.write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY)).map_err(damaged)?;
    Ok(out)
}

/// Without transparency: what shines through is paper.
fn over_white(picture: &DynamicImage) -> DynamicImage {
    if !picture.color().has_alpha() {
        return DynamicImage::ImageRgb8(picture.to_rgb8());
    }
    let seen = picture.to_rgba8();
    let flat = image::RgbImage::from_fn(seen.width(), seen.height(), |x, y| {
        let [r, g, b, a] = seen.get_pixel(x, y).0.map(u32::from);
        let over = |c: u32| u8::try_from((c * a + 255 * (255 - a)) / 255).unwrap_or(u8::MAX);
        image::Rgb([over(r), over(g), over(b)])
    });
    DynamicImage::ImageRgb8(flat)
}

/// Thumbnails kept on disk: they can be made again at any time.
#[derive(Debug)]
pub struct Thumbnails {
    folder: PathBuf,
}

impl Thumbnails {
    /// Keeps them in a folder, made when the first is.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, tenant: TenantId, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.folder.join(tenant.to_string()).join(&name[..2]).join(format!("{name}-{EDGE}.jpg"))
    }

    /// The thumbnail of a photo, whose bytes `load` reads where it is not made yet.
    ///
    /// # Errors
    /// What `load` says; [`NoPicture`] as the inner one.
    pub async fn get<F>(
        &self,
        tenant: TenantId,
        sha256: Sha256,
        load: impl FnOnce() -> F,
    ) -> Result<std::result::Result<Vec<u8>, NoPicture>>
    where
        F: Future<Output = Result<Vec<u8>>>,
    {
        let path = self.path(tenant, sha256);
        if let Ok(kept) = tokio::fs::read(&path).await {
            return Ok(Ok(kept));
        }
        let _turn = DECODING.acquire().await.map_err(|e| Error::Internal(format!("thumbnail: {e}")))?;
        let bytes = load().await?;
        let made = tokio::task::spawn_blocking(move || {
            let made = thumbnail(&bytes)?;
            if let Err(e) = keep(&path, &made) {
                tracing::warn!(error = %e, "a thumbnail was not kept");
            }
            Ok(made)
        });
        made.await.map_err(|e| Error::Internal(format!("thumbnail: {e}")))
    }
}

/// Whole or not at all: another request may be reading.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
    fresh.write_all(bytes)?;
    fresh.persist(path).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn photo(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 90]));
        let mut out = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(picture).write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn photos_of_every_kind_are_made_small() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let bytes = photo(1200, 800, format);
            assert_eq!(media_type(&bytes), Some(format.to_mime_type()));
            let small = thumbnail(&bytes).unwrap();
            assert_eq!(media_type(&small), Some("image/jpeg"));
            let small = image::load_from_memory(&small).unwrap();
            assert_eq!((small.width(), small.height()), (EDGE, EDGE * 800 / 1200), "{format:?}");
        }
        let tiny = image::load_from_memory(&thumbnail(&photo(20, 10, ImageFormat::Png)).unwrap()).unwrap();
        assert_eq!((tiny.width(), tiny.height()), (20, 10));
    }

    #[test]
    fn what_shines_through_is_white() {
        let clear = image::RgbaImage::from_pixel(8, 8, image::Rgba([0, 0, 0, 0]));
        let mut out = Cursor::new(Vec::new());
        DynamicImage::ImageRgba8(clear).write_to(&mut out, ImageFormat::Png).unwrap();
        let small = image::load_from_memory(&thumbnail(&out.into_inner()).unwrap()).unwrap().to_rgb8();
        assert!(small.pixels().all(|p| p.0.iter().all(|c| *c > 250)));
    }

    #[test]
    fn hostile_files_become_no_picture() {
        for bytes in [b"".as_slice(), b"<svg onload=alert(1)>", b"<html>", b"GIF89a", b"%PDF-1.7"] {
            assert_eq!(thumbnail(bytes), Err(NoPicture::Unknown));
            assert_eq!(media_type(bytes), None);
        }
        // A bomb: a few bytes that say 60,000 × 60,000.
        let mut bomb = photo(4, 4, ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let crc = {
            let mut crc = flate2::Crc::new();
            crc.update(&bomb[12..29]);
            crc.sum()
        };
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(thumbnail(&bomb), Err(NoPicture::TooLarge));
        // Within both sides, beyond the pixels.
        bomb[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
        let mut crc = flate2::Crc::new();
        crc.update(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        assert_eq!(thumbnail(&bomb), Err(NoPicture::TooLarge));
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let whole = photo(64, 64, format);
            for cut in [4, 13, 40, whole.len() / 2] {
                let _ = thumbnail(&whole[..cut.min(whole.len())]);
            }
            assert_eq!(thumbnail(&whole[..whole.len().min(14)]), Err(NoPicture::Damaged), "{format:?}");
            for at in 0..whole.len() {
                let mut bent = whole.clone();
                bent[at] ^= 0x55;
                let _ = thumbnail(&bent);
            }
        }
    }
}
