//! The office's API under Schemathesis: inputs made from the document, answers held against it.

use crate::{mobile, root, run};
use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &str = "a long passphrase";
/// What would sign the tester out or never ends.
const LEFT_OUT: [&str; 6] =
    ["office_events", "sign_out", "sign_out_everywhere", "end_session", "change_password", "change_user"];
/// Nothing fails inside, and every answer is what the document says.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Ends with the program that started it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks a server of a company of its own for so many seconds.
pub(crate) fn fuzz(seconds: u32) -> Result<()> {
    let target = mobile::target()?;
    let tool = target.join("schemathesis");
    if !tool.join("bin/schemathesis").is_file() {
        let tool = tool.display().to_string();
        run("python3", &["-m", "venv", &tool], &[])?;
        run(&format!("{tool}/bin/pip"), &["install", "--quiet", "schemathesis>=4.32,<5"], &[])?;
    }
    run("cargo", &["build", "--locked", "-p", "onsite-server", "--bin", "onsite"], &[])?;
    let (server, at) = serve(&target)?;
    let cookie = format!("cookie: {}", sign_in(&at)?);
    let document = root().join("sync-server/dashboard/openapi.json").display().to_string();
    let (url, seconds) = (format!("http://{at}"), seconds.to_string());
    let mut args = vec!["run", &document, "--url", &url, "-H", &cookie, "--checks", CHECKS];
    args.extend(["--phases", "examples,coverage,fuzzing", "--max-time", &seconds, "--continue-on-failure"]);
    // Which ids there are it cannot know: that much is not found is no news.
    args.extend(["--warnings", "off", "--no-color"]);
    LEFT_OUT.iter().for_each(|name| args.extend(["--exclude-operation-id", name]));
    run(&tool.join("bin/schemathesis").display().to_string(), &args, &[])?;
    drop(server);
    Ok(())
}

/// A server with one company and one person who may do everything, on files of its own.
fn serve(target: &Path) -> Result<(Server, String)> {
    let data = target.join("api-fuzz");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data)?;
    let at = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let onsite = |args: &[&str]| {
        let mut command = Command::new(target.join("debug/onsite"));
        command.args(args).current_dir(&data).env("ONSITE_DATA", &data).env("ONSITE_LISTEN", &at);
        command
    };
    let done = onsite(&["company", "add", "Fuzzed"]).stdout(Stdio::null()).status()?;
    let roles = ["admin", "clerk", "service_manager", "warehouse", "finance", "office_director", "production"];
    let mut args = vec!["user", "add", "--company", "Fuzzed", "--login", "boss", "--name", "Boss", "--password-stdin"];
    roles.iter().for_each(|role| args.extend(["--role", role]));
    let mut add = onsite(&args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    add.stdin.take().context("no input")?.write_all(format!("{PASSWORD}\n").as_bytes())?;
    if !(done.success() && add.wait()?.success()) {
        bail!("the company could not be founded");
    }
    let server = Server(onsite(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let begin = Instant::now();
    while TcpStream::connect(&at).is_err() {
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("the server does not get ready");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((server, at))
}

/// The cookie of a session.
fn sign_in(at: &str) -> Result<String> {
    let body = format!(r#"{{"login":"boss","password":"{PASSWORD}"}}"#);
    let length = body.len();
    let mut stream = TcpStream::connect(at)?;
    write!(
        stream,
        "POST /api/session HTTP/1.1\r\nhost: {at}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    Ok(cookie.with_context(|| format!("not signed in: {answer}"))?.to_owned())
}
