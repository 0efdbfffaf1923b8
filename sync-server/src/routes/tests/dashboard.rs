//! The office's page: how its files are served, and what is said where there are none.

use super::{Answer, World};
use crate::routes::dashboard::{asset, page, rest};
use axum::{Router, routing::get};
use rust_embed::RustEmbed;
use std::sync::Arc;

/// A page as small as can be, with what a build makes.
#[derive(RustEmbed)]
#[folder = "src/routes/tests/page/"]
struct Small;

/// No page was built.
#[derive(RustEmbed)]
#[folder = "src/routes/tests/nowhere/"]
#[allow_missing = true]
struct Nothing;

async fn world<Files: RustEmbed + 'static>() -> World {
    let mut w = World::new().await;
    w.router = Router::new()
        .route("/", get(page::<Files>))
        .route("/assets/{*path}", get(asset::<Files>))
        .fallback(rest::<Files>)
        .with_state(Arc::clone(&w.app));
    w
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test]
async fn every_screen_is_the_page_with_a_nonce_of_its_own() {
    let w = world::<Small>().await;
    let mut nonces = std::collections::BTreeSet::new();
    for path in ["/", "/work-orders/01900000-0000-7000-8000-000000000001", "/login?next=%2F", "/index.html"] {
        let page = w.call("GET", path, &[("accept", "text/html,*/*;q=0.8")], "").await.good(200);
        let html = text(&page);
        let nonce = html.split("content=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(nonce.len() == 32 && html.contains("src=\"/assets/app-1.js\""), "{html}");
        let csp = page.header("content-security-policy");
        assert!(csp.contains(&format!("style-src 'self' 'nonce-{nonce}'")), "{csp}");
        assert!(csp.contains("default-src 'none'") && csp.contains("script-src 'self';"), "{csp}");
        assert!(!csp.contains("unsafe"), "{csp}");
        assert_eq!(page.header("cache-control"), "no-cache");
        assert!(nonces.insert(nonce), "a nonce serves once");
    }
    assert_eq!(w.call("GET", "/favicon.svg", &[], "").await.good(200).header("content-type"), "image/svg+xml");
    // What is no screen, and nobody reads as one, is nothing.
    for (method, path, accept) in [
        ("GET", "/nothing.png", "image/*"),
        ("GET", "/api/nothing", "text/html"),
        ("GET", "/v1/nothing", "text/html"),
        ("POST", "/login", "text/html"),
        ("GET", "/../Cargo.toml", "*/*"),
        ("GET", "/%2e%2e/Cargo.toml", "*/*"),
        ("GET", "/assets/..%2f..%2fjob.rs", "*/*"),
    ] {
        w.call(method, path, &[("accept", accept)], "").await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn files_come_packed_as_the_browser_takes_them_and_for_good() {
    let w = world::<Small>().await;
    let ask = async |path: &str, takes: &str| w.call("GET", path, &[("accept-encoding", takes)], "").await.good(200);
    let js = "/assets/app-1.js";
    for (takes, coding) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("BR", "br"),
        ("identity", ""),
        ("brotli", ""),
    ] {
        let file = ask(js, takes).await;
        assert_eq!(file.header("content-encoding"), coding, "{takes}");
        assert_eq!(file.header("content-type"), "text/javascript; charset=utf-8");
        assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(file.header("vary"), "accept-encoding");
    }
    assert_eq!(text(&ask(js, "identity").await), "console.info(\"page\");\n");
    let mut plain = String::new();
    let packed = ask(js, "gzip").await;
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut plain).unwrap();
    assert_eq!(plain, "console.info(\"page\");\n");
    // What was too small to be packed comes as it is.
    assert_eq!(ask("/assets/small-2.css", "br").await.header("content-encoding"), "");
    w.call("GET", "/assets/other.js", &[], "").await.problem(404, "not_found");
}

#[tokio::test]
async fn without_a_page_the_server_says_so() {
    let w = world::<Nothing>().await;
    let page = text(&w.call("GET", "/", &[("accept", "text/html")], "").await.good(200));
    assert!(page.contains("cargo xtask dashboard") && page.contains("没有包含"), "{page}");
    w.call("GET", "/assets/app-1.js", &[], "").await.problem(404, "not_found");
}
