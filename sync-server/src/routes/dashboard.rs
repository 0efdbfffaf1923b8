//! The office's page: files that its build made, embedded in the program.

use crate::{App, auth::hex, problem};
use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::sync::Arc;

/// What `npm run build` made. A program for development reads it from the folder, as it is at the moment.
#[derive(RustEmbed)]
#[folder = "dashboard/dist/"]
#[allow_missing = true]
pub(super) struct Built;

/// Where the page's build puts the nonce of its styles.
const PLACE: &str = "__CSP_NONCE__";
/// What names its content may be kept for good.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What does not is asked for each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// Said where the program was built without the page.
const MISSING: &str = "<!doctype html>
<html lang=\"zh-CN\"><meta charset=\"utf-8\"><title>Onsite 现场</title>
<h1>Onsite 现场</h1>
<p>服务器正在运行,但这个程序编译时没有包含办公室页面。请安装 Node.js,运行 <code>cargo xtask dashboard</code>,然后重新编译。</p>
<p lang=\"en\">The server runs, but this program was built without the office's page. Install Node.js, run
<code>cargo xtask dashboard</code>, and build the program again.</p>
<p><a href=\"/api/docs\">API</a></p>
</html>
";

/// The page, whatever screen its address names: the page itself finds it.
pub(super) async fn page<Files: RustEmbed>(State(app): State<Arc<App>>) -> Response {
    let Some(built) = Files::get("index.html") else {
        return (StatusCode::OK, [(header::CACHE_CONTROL, ASK_AGAIN)], Html(MISSING)).into_response();
    };
    let mut nonce = [0; 16];
    app.ledger.env().fill(&mut nonce);
    let nonce = hex(&nonce);
    let html = String::from_utf8_lossy(&built.data).replace(PLACE, &nonce);
    let csp = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    ([(header::CACHE_CONTROL, ASK_AGAIN)], [(header::CONTENT_SECURITY_POLICY, csp)], Html(html)).into_response()
}

/// A file whose name holds the hash of its content, as it was packed when the page was built.
pub(super) async fn asset<Files: RustEmbed>(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let name = format!("assets/{path}");
    let Some(plain) = Files::get(&name) else { return nothing() };
    let packed = [("br", ".br"), ("gzip", ".gz")].into_iter().filter(|(coding, _)| takes(&headers, coding));
    let packed = packed.filter_map(|(coding, end)| Some((coding, Files::get(&format!("{name}{end}"))?))).next();
    let mut response = match packed {
        Some((coding, file)) => {
            ([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))], file.data.into_owned()).into_response()
        }
        None => plain.data.into_owned().into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind(&name));
    headers.insert(header::CACHE_CONTROL, FOR_GOOD);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// What no route answers: another file of the page, a screen of it, or nothing.
pub(super) async fn rest<Files: RustEmbed>(state: State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if !reads || path == "api" || path.starts_with("api/") || path.starts_with("v1/") {
        return nothing();
    }
    if path != "index.html"
        && let Some(file) = Files::get(path)
    {
        let EmbeddedFile { data, .. } = file;
        return ([(header::CONTENT_TYPE, kind(path)), (header::CACHE_CONTROL, ASK_AGAIN)], data.into_owned())
            .into_response();
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") { page::<Files>(state).await } else { nothing() }
}

fn nothing() -> Response {
    problem::problem(StatusCode::NOT_FOUND, "not_found", "", "there is nothing at this address", None)
}

/// Whether the browser takes what is packed so: named, and not with a weight of nothing.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let said = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
    said.flat_map(|v| v.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        named && parts.all(|p| p.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_none_or(|q| q > 0.0))
    })
}

/// The media type of the files that a page's build makes.
fn kind(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next().unwrap_or_default() {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}
