//! Blobs: tus 1.0 uploads (core, creation, checksum, termination) and ranged downloads.

use super::openapi::Binary;
use super::{Asked, Device, Office, id};
use crate::{
    App,
    blobs::{Checksum, Received, Upload},
    error::Error,
    pictures,
    problem::problem,
    storage::BlobRow,
};
use axum::{
    body::{Body, BodyDataStream},
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use futures_util::StreamExt as _;
use onsite_core::domain::{DocId, Sha256, TenantId};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;
use uuid::Uuid;

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");

/// Around the routes of uploads: their protocol's version, both ways.
pub(super) async fn tus(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let upload = path == "/v1/blobs" || path.starts_with("/v1/blobs/uploads/");
    if !upload {
        return next.run(request).await;
    }
    let mut response = if request.method() != Method::OPTIONS && request.headers().get(RESUMABLE) != Some(&VERSION) {
        problem(StatusCode::PRECONDITION_FAILED, "tus_version", "", "Tus-Resumable must be 1.0.0", None)
    } else {
        next.run(request).await
    };
    if response.status() == StatusCode::PRECONDITION_FAILED {
        response.headers_mut().insert("tus-version", VERSION);
    }
    response.headers_mut().insert(RESUMABLE, VERSION);
    response
}

pub(super) async fn options(State(app): State<Arc<App>>) -> Response {
    (
        StatusCode::NO_CONTENT,
        [
            ("tus-version", "1.0.0".to_owned()),
            ("tus-extension", "creation,checksum,termination".to_owned()),
            ("tus-checksum-algorithm", "sha1,sha256".to_owned()),
            ("tus-max-size", app.blobs.max().to_string()),
        ],
    )
        .into_response()
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Result<u64, Error> {
    headers
        .get(name)
        .and_then(|v| v.to_str().ok())
        .filter(|v| v.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| Error::bad("bad_header", name.as_str(), format!("{name} must be a whole number")))
}

/// The hash and the name in `Upload-Metadata`.
fn metadata(headers: &HeaderMap) -> Result<(Sha256, String), Error> {
    let bad = |why: &str| Error::bad("bad_metadata", "upload-metadata", why);
    let text = headers.get("upload-metadata").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (mut sha256, mut filename) = (None, String::new());
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value =
            base64::engine::general_purpose::STANDARD.decode(value.trim()).map_err(|_| bad("values must be Base64"))?;
        let value = String::from_utf8(value).map_err(|_| bad("values must be UTF-8 in Base64"))?;
        match key {
            "sha256" => sha256 = Some(value.parse().map_err(|_| bad("sha256 must be 64 hexadecimal digits"))?),
            "filename" => filename = value.chars().filter(|c| !c.is_control()).take(200).collect(),
            _ => {}
        }
    }
    Ok((sha256.ok_or_else(|| bad("sha256 is missing"))?, filename))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Device(session): Device,
    headers: HeaderMap,
) -> Result<Response, Error> {
    if headers.contains_key("upload-defer-length") {
        return Err(Error::bad("bad_header", "upload-defer-length", "the length must be known"));
    }
    let length = number(&headers, &LENGTH)?;
    let (sha256, filename) = metadata(&headers)?;
    let upload = Upload {
        id: app.ledger.env().new_id(),
        tenant: session.tenant,
        device: session.device,
        sha256,
        length,
        filename,
        created: app.ledger.env().now(),
        done: false,
    };
    app.blobs.create(&session, &upload).await?;
    if length == 0 {
        // There will be no PATCH to end it.
        app.blobs.upload(&session, app.ledger.storage(), upload.id).await.map_err(|_| mismatch())?;
    }
    // Relative, so that it is right behind any proxy.
    Ok((StatusCode::CREATED, [(header::LOCATION, format!("/v1/blobs/uploads/{}", upload.id))]).into_response())
}

fn mismatch() -> Error {
    Error::bad(
        "blob_mismatch",
        "sha256",
        "the bytes are not those of the hash announced; the upload was dropped: begin again",
    )
}

pub(super) async fn head(
    State(app): State<Arc<App>>,
    Device(session): Device,
    method: Method,
    Path(upload): Path<String>,
) -> Result<Response, Error> {
    if method != Method::HEAD {
        return Ok(not_allowed("an upload has no content to GET"));
    }
    let (upload, offset) = app.blobs.upload(&session, app.ledger.storage(), id(&upload)?).await?;
    let mut named = format!("sha256 {}", base64::engine::general_purpose::STANDARD.encode(upload.sha256.to_string()));
    if !upload.filename.is_empty() {
        named.push_str(&format!(",filename {}", base64::engine::general_purpose::STANDARD.encode(&upload.filename)));
    }
    let headers = [
        (OFFSET, offset.to_string()),
        (LENGTH, upload.length.to_string()),
        (HeaderName::from_static("upload-metadata"), named),
    ];
    Ok((StatusCode::OK, headers, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

fn not_allowed(detail: &str) -> Response {
    let mut refused = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "", detail, None);
    refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("HEAD, PATCH, DELETE, OPTIONS"));
    refused
}

/// Clients that may send neither PATCH nor DELETE send POST and say what they mean.
pub(super) async fn meant(
    state: State<Arc<App>>,
    device: Device,
    upload: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    match headers.get("x-http-method-override").map(HeaderValue::as_bytes) {
        Some(b"PATCH") => patch(state, device, upload, headers, body).await,
        Some(b"DELETE") => delete(state, device, upload).await.map(IntoResponse::into_response),
        _ => Ok(not_allowed("an upload is not POSTed to, unless X-HTTP-Method-Override says what is meant")),
    }
}

fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    let Some(value) = headers.get("upload-checksum") else { return Ok(None) };
    let bad = |why: &str| Error::bad("bad_checksum", "upload-checksum", why);
    let (kind, sum) =
        value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(|| bad("must be `algorithm base64`"))?;
    let sum =
        base64::engine::general_purpose::STANDARD.decode(sum.trim()).map_err(|_| bad("the sum must be Base64"))?;
    match kind {
        "sha1" => Ok(Some(Checksum::Sha1(sum))),
        "sha256" => Ok(Some(Checksum::Sha256(sum))),
        _ => Err(bad("the algorithm must be sha1 or sha256")),
    }
}

/// Most bytes read of a body that is not wanted.
const UNWANTED: usize = 8 << 20;

/// Reads what is left of a body that is not wanted, within limits.
async fn drain(body: &mut BodyDataStream, idle: Duration) {
    let mut left = UNWANTED;
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(idle, body.next()).await {
        match left.checked_sub(chunk.len()) {
            Some(n) => left = n,
            None => return,
        }
    }
}

pub(super) async fn patch(
    State(app): State<Arc<App>>,
    Device(session): Device,
    Path(upload): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    super::content_type(&headers, "application/offset+octet-stream")?;
    let (upload, offset, checksum) = (id::<Uuid>(&upload)?, number(&headers, &OFFSET)?, checksum(&headers)?);
    let mut body = body.into_data_stream();
    let taken = app.blobs.append(&session, app.ledger.storage(), upload, offset, checksum, &mut body).await;
    if taken.is_err() {
        // An answer before the body has come would be lost with the connection: the sender
        // would not learn where the upload stands, and send the same again.
        drain(&mut body, Duration::from_secs(app.config.limits.idle_seconds)).await;
    }
    let at = match taken? {
        Received::Upto(at) => at,
        Received::Stored(at) => {
            metrics::counter!("onsite_blobs_stored_total").increment(1);
            at
        }
        Received::ChecksumMismatch => {
            let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
            return Ok(problem(
                status,
                "checksum_mismatch",
                "upload-checksum",
                "the chunk is not what its checksum says; it was dropped",
                None,
            ));
        }
        Received::HashMismatch => return Err(mismatch()),
    };
    Ok((StatusCode::NO_CONTENT, [(OFFSET, at.to_string())]).into_response())
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Device(session): Device,
    Path(upload): Path<String>,
) -> Result<StatusCode, Error> {
    app.blobs.terminate(&session, id(&upload)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The bytes asked for: `None` for all, `Err` for none there are.
fn range(headers: &HeaderMap, etag: &str, size: u64) -> Result<Option<std::ops::Range<u64>>, ()> {
    let text = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let Some(spec) = text.and_then(|t| t.trim().strip_prefix("bytes=")) else { return Ok(None) };
    // The bytes never change under their hash; a condition that names another hash means all of this one.
    if headers.get(header::IF_RANGE).is_some_and(|c| c.as_bytes() != etag.as_bytes()) {
        return Ok(None);
    }
    let Some((from, to)) = spec.split_once('-') else { return Ok(None) };
    // Several ranges, or what is none: the whole, as RFC 9110 allows.
    let parse = |s: &str| s.trim().parse::<u64>().ok();
    let range = match (from.trim(), to.trim()) {
        ("", last) => match parse(last) {
            Some(0) => return Err(()),
            Some(n) => size.saturating_sub(n)..size,
            None => return Ok(None),
        },
        (from, "") => match parse(from) {
            Some(from) => from..size,
            None => return Ok(None),
        },
        (from, to) => match (parse(from), parse(to)) {
            (Some(from), Some(to)) if from <= to => from..to.saturating_add(1).min(size),
            _ => return Ok(None),
        },
    };
    if range.start >= size { Err(()) } else { Ok(Some(range)) }
}

pub(super) async fn download(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let (mut parts, _) = request.into_parts();
    // A phone, or somebody at the office.
    let tenant = if parts.headers.contains_key(header::AUTHORIZATION) {
        Device::from_request_parts(&mut parts, &app).await?.0.tenant
    } else {
        Office::from_request_parts(&mut parts, &app).await?.0.tenant
    };
    serve(&app, tenant, id(&name)?, &parts, |_| {}).await
}

/// A blob, or the part of it that is asked for; `dress` adds to the headers.
async fn serve(
    app: &App,
    tenant: TenantId,
    sha256: Sha256,
    parts: &Parts,
    dress: impl Fn(&mut HeaderMap),
) -> Result<Response, Error> {
    let row = app.ledger.storage().blob(tenant, sha256).await?.filter(|b| b.complete);
    let row = row.ok_or_else(|| Error::NotFound(format!("no blob {sha256}")))?;
    let etag = format!("\"{sha256}\"");
    let fixed = |mut response: Response| {
        let h = response.headers_mut();
        h.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        h.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            h.insert(header::ETAG, etag);
        }
        // Whatever somebody uploaded, it never runs here.
        h.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        h.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        dress(h);
        response
    };
    if parts.headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.to_str().is_ok_and(|v| v == "*" || v.contains(&etag)))
    {
        return Ok(fixed(StatusCode::NOT_MODIFIED.into_response()));
    }
    let (status, wanted) = match range(&parts.headers, &etag, row.size) {
        Ok(None) => (StatusCode::OK, 0..row.size),
        Ok(Some(r)) => (StatusCode::PARTIAL_CONTENT, r),
        Err(()) => {
            let mut none = problem(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "bad_range",
                "",
                &format!("the blob has {} bytes", row.size),
                None,
            );
            if let Ok(size) = HeaderValue::from_str(&format!("bytes */{}", row.size)) {
                none.headers_mut().insert(header::CONTENT_RANGE, size);
            }
            return Ok(none);
        }
    };
    let body = match parts.method {
        Method::HEAD => Body::empty(),
        _ => app.blobs.read(tenant, sha256, wanted.clone()).await?,
    };
    let mut response =
        fixed((status, [(header::CONTENT_LENGTH, (wanted.end - wanted.start).to_string())], body).into_response());
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&format!("bytes {}-{}/{}", wanted.start, wanted.end - 1, row.size))
    {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// Of which document a photo is asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PhotoAsked {
    /// The visit or request that names it.
    doc: DocId,
}

/// First bytes that tell what a file is.
const FIRST: u64 = 16;

/// A photo that a document names. What is none is only to be saved, never shown in place.
#[utoipa::path(
    get,
    path = "/api/blobs/{sha256}",
    tag = "records",
    operation_id = "photo",
    params(("sha256" = Sha256, Path, description = "Hash of its bytes"), PhotoAsked),
    responses((status = 200, body = Binary, content_type = "application/octet-stream")),
)]
pub(super) async fn photo(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<PhotoAsked>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let sha256: Sha256 = id(&name)?;
    app.ledger.photo_of(who.tenant, asked.doc, sha256).await?;
    let (parts, _) = request.into_parts();
    let kind = match stored(&app, who.tenant, sha256).await? {
        Some(row) => pictures::media_type(&app.blobs.bytes(who.tenant, sha256, 0..row.size.min(FIRST)).await?),
        None => None,
    };
    let short: String = name.chars().take(12).collect();
    serve(&app, who.tenant, sha256, &parts, |h| {
        let (kind, place, ending) = match kind {
            Some(kind) => (kind, "inline", kind.trim_start_matches("image/")),
            None => ("application/octet-stream", "attachment", "bin"),
        };
        h.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Ok(value) = HeaderValue::from_str(&format!("{place}; filename=\"{short}.{ending}\"")) {
            h.insert(header::CONTENT_DISPOSITION, value);
        }
    })
    .await
}

/// A photo that a document names, made small.
#[utoipa::path(
    get,
    path = "/api/blobs/{sha256}/thumb",
    tag = "records",
    operation_id = "thumbnail",
    params(("sha256" = Sha256, Path, description = "Hash of its bytes"), PhotoAsked),
    responses((status = 200, body = Binary, content_type = "image/jpeg")),
)]
pub(super) async fn thumb(
    State(app): State<Arc<App>>,
    Office(who): Office,
    Asked(asked): Asked<PhotoAsked>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let sha256: Sha256 = id(&name)?;
    app.ledger.photo_of(who.tenant, asked.doc, sha256).await?;
    let etag = format!("\"{sha256}-{}\"", pictures::EDGE);
    let cached = [
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
        (header::ETAG, etag.as_str()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.to_str().is_ok_and(|v| v == "*" || v.contains(&etag))) {
        return Ok((StatusCode::NOT_MODIFIED, cached).into_response());
    }
    let row = stored(&app, who.tenant, sha256).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("no blob {sha256}")))?;
    let load = || app.blobs.bytes(who.tenant, sha256, 0..row.size);
    match app.thumbnails.get(who.tenant, sha256, load).await? {
        Ok(small) => {
            let kind = [(header::CONTENT_TYPE, "image/jpeg"), (header::CONTENT_DISPOSITION, "inline")];
            Ok((cached, kind, small).into_response())
        }
        Err(why) => Err(Error::bad("no_thumbnail", "", why.to_string())),
    }
}

async fn stored(app: &App, tenant: TenantId, sha256: Sha256) -> Result<Option<BlobRow>, Error> {
    Ok(app.ledger.storage().blob(tenant, sha256).await?.filter(|b| b.complete))
}

/// A photo made small, if it has come and is one.
pub(super) async fn small(app: &App, tenant: TenantId, sha256: Sha256) -> Result<Option<Vec<u8>>, Error> {
    let Some(row) = stored(app, tenant, sha256).await? else { return Ok(None) };
    let load = || app.blobs.bytes(tenant, sha256, 0..row.size);
    match app.thumbnails.get(tenant, sha256, load).await {
        Ok(made) => Ok(made.ok()),
        // Its line is there and its bytes are not: a form is printed without it.
        Err(Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}
