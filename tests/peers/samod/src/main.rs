//! `storm-samod storm D M C`: prints what a storm cost as one line of JSON.

use anyhow::{Context as _, Result, bail};
use automerge::{Automerge, AutomergeError, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
use axum::{Router, extract::ws::WebSocketUpgrade, routing::get};
use samod::{BackoffConfig, DocHandle, Repo, ShareConfig, storage::TokioFilesystemStorage};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use url::Url;

const PATIENCE: Duration = Duration::from_secs(120);
const NAMES: &str = "customer contact phone address reported_at attribute service solution result remark number \
                     status equipment serial model technician arrive_by left_at arrived_at expected_days";

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port, dir] => serve(port.parse()?, dir).await,
        ["storm", devices, documents, changed] => storm(devices.parse()?, documents.parse()?, changed.parse()?).await,
        _ => bail!("storm D M C"),
    }
}

/// The server: stores on disk, announces nothing of its own accord.
async fn serve(port: u16, dir: &str) -> Result<()> {
    let repo = Repo::build_tokio()
        .with_storage(TokioFilesystemStorage::new(dir))
        .with_peer_id("server".into())
        .with_share_policy(ShareConfig::read_write().with_announce(false))
        .load()
        .await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let acceptor = repo.make_acceptor(address(port)?)?;
    let accept = move |upgrade: WebSocketUpgrade| {
        let acceptor = acceptor.clone();
        async move { upgrade.on_upgrade(move |socket| async move { drop(acceptor.accept_axum(socket, None)) }) }
    };
    Ok(axum::serve(listener, Router::new().route("/", get(accept))).await?)
}

fn address(port: u16) -> Result<Url> {
    Ok(format!("ws://127.0.0.1:{port}/").parse()?)
}

fn work_order(n: usize) -> Result<Automerge, AutomergeError> {
    let mut doc = Automerge::new();
    let mut tx = doc.transaction();
    for name in NAMES.split_whitespace() {
        tx.put(ROOT, name, format!("{name}-{n}"))?;
    }
    let parts = tx.put_object(ROOT, "parts", ObjType::Map)?;
    for p in 0..5_i64 {
        let part = tx.put_object(&parts, format!("p{p}"), ObjType::Map)?;
        tx.put(&part, "name", "轴承")?;
        tx.put(&part, "qty", p)?;
    }
    let notes = tx.put_object(ROOT, "notes", ObjType::Text)?;
    tx.splice_text(&notes, 0, 0, "现场检查:液压站压力不足,更换密封圈后恢复正常。")?;
    tx.commit();
    Ok(doc)
}

/// A server process, killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// CPU time in ms.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields.get(11..13).context("no /proc")?.iter().filter_map(|f| f.parse::<f64>().ok()).sum();
        Ok(ticks * 10.0)
    }

    /// Resident memory in MB.
    fn memory(&self) -> Result<f64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id()))?;
        let pages: f64 = statm.split_whitespace().nth(1).context("no /proc")?.parse()?;
        Ok(pages * 4096.0 / 1e6)
    }

    /// Waits until it spends nothing any more.
    async fn quiet(&self) -> Result<f64> {
        let mut last = -1.0;
        while self.cpu()? != last {
            last = self.cpu()?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        Ok(last)
    }
}

fn done(handle: &DocHandle) -> bool {
    handle.with_document(|doc| matches!(doc.get(ROOT, "status"), Ok(Some((v, _))) if v.to_str() == Some("done")))
}

async fn storm(devices: usize, documents: usize, changed: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let program = std::env::current_exe()?;
    let server = Server(Command::new(program).args(["serve", &port.to_string()]).arg(dir.path()).spawn()?);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let url = address(port)?;
    let mut phones = Vec::new();
    for d in 0..devices {
        let repo = Repo::build_tokio().with_peer_id(format!("phone-{d}").as_str().into()).load().await;
        let dial = repo.dial_websocket(url.clone(), BackoffConfig::default())?;
        dial.established().await?;
        let mut handles: Vec<DocHandle> = Vec::new();
        for m in 0..documents {
            handles.push(repo.create(work_order(d * documents + m)?).await?);
        }
        let connection = dial.connection_id().context("no connection")?;
        for handle in &handles {
            handle.they_have_our_changes(connection).await;
        }
        phones.push((repo, dial, handles));
    }
    let office = Repo::build_tokio().with_peer_id("office".into()).load().await;
    let line = office.dial_websocket(url.clone(), BackoffConfig::default())?;
    line.established().await?;
    let mut held = Vec::new();
    for (_, _, handles) in &phones {
        for part in handles.chunks(100) {
            let finds: Vec<_> = part.iter().map(|h| office.find(h.document_id().clone())).collect();
            for find in finds {
                held.push(find.await?.context("the office does not find a document")?);
            }
        }
    }
    eprintln!("all {} documents at the office", held.len());

    for (_, dial, _) in &phones {
        dial.close();
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for handle in phones.iter().flat_map(|(_, _, handles)| handles.iter().take(changed)) {
        handle.with_document(|doc| {
            let mut tx = doc.transaction();
            tx.put(ROOT, "status", "done")?;
            tx.put(ROOT, "solution", "更换密封圈")?;
            tx.put(ROOT, "result", "completed")?;
            tx.commit();
            Ok::<_, AutomergeError>(())
        })?;
    }

    let before = server.quiet().await?;
    let begin = Instant::now();
    let lines: Vec<_> =
        phones.iter().map(|(repo, _, _)| repo.dial_websocket(url.clone(), BackoffConfig::default())).collect();
    let wanted: Vec<&DocHandle> = (0..devices).flat_map(|d| held[d * documents..].iter().take(changed)).collect();
    let mut converged = false;
    while !converged && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
        converged = wanted.iter().all(|handle| done(handle));
    }
    let wall = begin.elapsed();
    println!(
        r#"{{"cpu_ms":{},"wall_ms":{},"rss_mb":{},"converged":{converged}}}"#,
        (server.cpu()? - before) / (devices * changed) as f64,
        wall.as_secs_f64() * 1e3,
        server.memory()?,
    );
    drop(lines);
    drop(server);
    // The repositories' own tasks would go on for ever.
    std::process::exit(0);
}
