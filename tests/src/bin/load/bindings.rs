//! The calls that a screen makes, on the bare engine: what the languages' own figures are put beside.

use crate::device::{fill, job, median, phone};
use anyhow::{Context as _, Result, ensure};
use onsite_core::domain::{Command, DocRef, Kind};
use onsite_core::engine::Engine;
use std::path::Path;
use std::time::{Duration, Instant};

/// Calls of each kind before they are counted, and counted.
const WARM: usize = 50;
const TURNS: usize = 300;

/// Makes a phone's folder, as an app opens it, that holds ten thousand work orders and a visit under way.
pub(crate) fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut engine = phone(&folder.join("device.sqlite"), &folder.join("blobs"))?;
    job(&mut engine)?;
    drop(engine);
    fill(&folder.join("device.sqlite"))
}

/// Prints a line for each call: its name and its median in microseconds.
pub(crate) fn run(folder: &Path) -> Result<()> {
    let mut engine = phone_again(folder)?;
    let order = engine.list(Kind::WorkOrder, None, None)?.lines.first().context("no work order")?.summary.doc;
    let visit = engine.list(Kind::Visit, None, None)?.lines.first().context("no visit")?.summary.doc;
    let today = engine.day();
    measure("today", || {
        ensure!(engine.today(today)?.jobs.len() >= 40, "too few jobs today");
        Ok(())
    })?;
    measure("show", || {
        engine.show(order)?;
        Ok(())
    })?;
    measure("search", || {
        ensure!(engine.search("张三", None)?.lines.len() == 50, "not a page");
        Ok(())
    })?;
    let mut n = 0;
    measure("edit", || {
        n += 1;
        engine.execute(&edit(visit, n))?;
        Ok(())
    })
}

fn phone_again(folder: &Path) -> Result<Engine> {
    use onsite_core::{env::SystemEnv, store::blobs::FolderBlobs};
    let conn = rusqlite::Connection::open(folder.join("device.sqlite"))?;
    let blobs = FolderBlobs::open(folder.join("blobs"))?;
    Ok(Engine::open(conn, Box::new(SystemEnv), Box::new(blobs))?)
}

fn edit(doc: DocRef, n: usize) -> Command {
    let text = format!("更换主泵密封圈, 试机两小时。第{n}次检查。");
    Command::EditText { doc, field: "resolution".into(), text, seen: Vec::new() }
}

fn measure(name: &str, mut call: impl FnMut() -> Result<()>) -> Result<()> {
    let mut took: Vec<Duration> = Vec::with_capacity(TURNS);
    for n in 0..WARM + TURNS {
        let begin = Instant::now();
        call()?;
        if n >= WARM {
            took.push(begin.elapsed());
        }
    }
    println!("{name} {:.1}", median(&mut took).as_secs_f64() * 1e6);
    Ok(())
}
