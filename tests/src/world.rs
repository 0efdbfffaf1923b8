//! A world: a server process on its folder, companies, office users, phones.

use crate::link::Link;
use anyhow::{Context as _, Result, bail, ensure};
use onsite_core::domain::value::opened;
use onsite_core::domain::{Command, DocRef, Kind, Millis, Role, StaffId, VisitId, WorkOrder, WorkOrderId};
use onsite_core::engine::{Client, Detail, Engine};
use onsite_core::env::{Env, SystemEnv};
use onsite_core::store::blobs::FolderBlobs;
use onsite_core::sync::session::SyncReport;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The `onsite` binary, built if it is not fresh.
///
/// # Panics
/// It does not build.
pub fn onsite() -> PathBuf {
    static BUILD: Once = Once::new();
    let exe = std::env::current_exe().unwrap_or_default();
    let profile = exe.ancestors().find(|p| p.join("deps").is_dir()).map(Path::to_path_buf).unwrap_or_default();
    let bin = profile.join("onsite");
    BUILD.call_once(|| {
        if std::env::var_os("ONSITE_BIN").is_some() {
            return;
        }
        let mut cargo = std::process::Command::new("cargo");
        cargo.args(["build", "--quiet", "-p", "onsite-server", "--bin", "onsite"]);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().is_ok_and(|s| s.success()), "the `onsite` binary does not build");
    });
    std::env::var_os("ONSITE_BIN").map_or(bin, PathBuf::from)
}

/// A server process on a folder of its own.
pub struct Server {
    /// The folder: database, blobs, log.
    pub dir: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
    child: Option<Child>,
    /// Settings by the environment, besides those of every test.
    settings: Vec<(String, String)>,
}

impl Server {
    /// Starts a server on a folder.
    ///
    /// # Errors
    /// It does not start within half a minute.
    pub async fn start(dir: impl Into<PathBuf>) -> Result<Self> {
        Self::start_with(dir, &[]).await
    }

    /// Starts a server with settings of its own, such as `("ONSITE_LIMITS__PHOTO_BYTES", "5")`.
    ///
    /// # Errors
    /// It does not start within half a minute.
    pub async fn start_with(dir: impl Into<PathBuf>, settings: &[(&str, &str)]) -> Result<Self> {
        let dir = dir.into();
        std::fs::create_dir_all(&dir)?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut server = Self { dir, addr, child: None, settings };
        server.up().await?;
        Ok(server)
    }

    /// Starts it again after it was stopped or killed.
    ///
    /// # Errors
    /// It does not start within half a minute.
    pub async fn up(&mut self) -> Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("server.log"))?;
        let child = self.command().arg("serve").stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
        self.child = Some(child);
        let begin = Instant::now();
        loop {
            if let Ok(answer) = reqwest::get(self.url("/readyz")).await
                && answer.status().is_success()
            {
                return Ok(());
            }
            if let Some(child) = self.child.as_mut()
                && let Some(status) = child.try_wait()?
            {
                bail!("the server ended at once ({status}):\n{}", self.log());
            }
            ensure!(begin.elapsed() < Duration::from_secs(30), "the server is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// It ends with an error.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            std::process::Command::new("kill").arg(child.id().to_string()).status()?;
            let status = child.wait()?;
            ensure!(status.success(), "the server ended with {status}:\n{}", self.log());
        }
        Ok(())
    }

    /// An address on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// The `onsite` command on this server's folder.
    pub fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(onsite());
        command
            // Ours, and no key of the server's configuration.
            .env_remove("ONSITE_BIN")
            .env("ONSITE_DATA", &self.dir)
            .env("ONSITE_LISTEN", self.addr.to_string())
            .env("ONSITE_PUBLIC_URL", self.url(""))
            .env("ONSITE_AUTH__INSECURE_COOKIES", "true")
            .env("ONSITE_LIMITS__DEVICE_REQUESTS_PER_MINUTE", "100000")
            .env("ONSITE_LIMITS__LOGIN_TRIES_PER_MINUTE", "1000")
            .envs(self.settings.iter().map(|(k, v)| (k, v)))
            .current_dir(&self.dir);
        command
    }

    /// Sets a variable for the processes started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Runs an `onsite` command, with `input` as its standard input; answers what it prints.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, args: &[&str], input: &str) -> Result<String> {
        use std::io::Write as _;
        let mut child =
            self.command().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let out = child.wait_with_output()?;
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        ensure!(out.status.success(), "onsite {} failed ({}):\n{stdout}\n{stderr}", args.join(" "), out.status);
        Ok(stdout.into_owned())
    }

    /// Its database, for looking only.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn database(&self) -> Result<rusqlite::Connection> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        Ok(rusqlite::Connection::open_with_flags(self.dir.join("onsite.sqlite"), flags)?)
    }

    /// Adds a company with an office user who holds every office role.
    ///
    /// # Errors
    /// The command line or the login fails.
    pub async fn company(&self, name: &str) -> Result<Company<'_>> {
        self.run(&["company", "add", name], "")?;
        let mut company = Company { server: self, name: name.to_owned(), office: Office::default() };
        let roles = "clerk,service_manager,warehouse,finance,office_director,production,admin";
        let login = format!("boss-{}", Uuid::now_v7().simple());
        let boss = company.user("赵主任", &login, roles)?;
        company.office = Office::login(self, &login, PASSWORD).await?;
        company.office.staff = Some(boss);
        Ok(company)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Every test user's password.
pub const PASSWORD: &str = "correct horse battery 现场";

/// A company on a server.
pub struct Company<'a> {
    /// The server.
    pub server: &'a Server,
    /// Its name.
    pub name: String,
    /// Its office, logged in.
    pub office: Office,
}

impl Company<'_> {
    /// Adds a member of staff with a login; answers their id.
    ///
    /// # Errors
    /// The command fails or prints no id.
    pub fn user(&self, name: &str, login: &str, roles: &str) -> Result<StaffId> {
        let mut args = vec!["user", "add", "--company", &self.name, "--login", login, "--name", name];
        for role in roles.split(',') {
            args.extend(["--role", role]);
        }
        args.push("--password-stdin");
        let printed = self.server.run(&args, &format!("{PASSWORD}\n"))?;
        uuid_in(&printed).map(StaffId).with_context(|| format!("no staff id in: {printed}"))
    }

    /// Adds a technician by the office's command; answers their id.
    ///
    /// # Errors
    /// The office refuses.
    pub async fn technician(&self, name: &str, code: &str) -> Result<StaffId> {
        let id = StaffId(Uuid::now_v7());
        let roles = [Role::Technician].into_iter().collect();
        let phone = "13900001111".to_owned();
        self.office.execute(&Command::PutStaff { id, name: name.into(), code: code.into(), phone, roles }).await?;
        Ok(id)
    }

    /// A one-time code for a technician's phone.
    ///
    /// # Errors
    /// The office refuses.
    pub async fn device_code(&self, staff: StaffId) -> Result<String> {
        let asked = serde_json::json!({ "staff": staff });
        let (status, body) = self.office.request("POST", "/api/device-codes", Some(asked)).await?;
        ensure!(status == 200, "{status}: {body}");
        let json: Value = serde_json::from_str(&body)?;
        Ok(json["code"].as_str().context("no code")?.to_owned())
    }

    /// A phone of a technician, enrolled over a link of its own.
    ///
    /// # Errors
    /// The enrolment fails.
    pub async fn phone(&self, dir: &Path, staff: StaffId) -> Result<Phone> {
        let link = Link::to(self.server.addr)?;
        let phone = Phone::open(dir, link)?;
        phone.client.enrol(&phone.link.url(), &self.device_code(staff).await?, "测试手机").await?;
        Ok(phone)
    }
}

/// The first UUID in a text.
pub fn uuid_in(text: &str) -> Option<Uuid> {
    text.split(|c: char| !c.is_ascii_hexdigit() && c != '-').find_map(|word| Uuid::parse_str(word).ok())
}

/// An office user's session.
#[derive(Default)]
pub struct Office {
    /// Who.
    pub staff: Option<StaffId>,
    base: String,
    cookie: String,
    http: reqwest::Client,
}

impl Office {
    /// Logs in.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn login(server: &Server, login: &str, password: &str) -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let base = server.url("");
        let said = serde_json::json!({ "login": login, "password": password });
        let answer = http.post(format!("{base}/api/session")).header("origin", &base).json(&said).send().await?;
        let cookie = answer
            .headers()
            .get_all("set-cookie")
            .iter()
            .filter_map(|v| v.to_str().ok())
            .filter_map(|v| v.split(';').next())
            .collect::<Vec<_>>()
            .join("; ");
        ensure!(!cookie.is_empty(), "no session after login: {} {}", answer.status(), answer.text().await?);
        Ok(Self { staff: None, base, cookie, http })
    }

    /// A request of this session; answers status and body.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn request(&self, method: &str, path: &str, body: Option<Value>) -> Result<(u16, String)> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("cookie", &self.cookie)
            .header("origin", &self.base);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// An answer with its headers.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn answer(&self, path: &str) -> Result<reqwest::Response> {
        let request = self.http.get(format!("{}{path}", self.base)).header("cookie", &self.cookie);
        Ok(request.send().await?.error_for_status()?)
    }

    /// Does a command at the office.
    ///
    /// # Errors
    /// The office refuses.
    pub async fn execute(&self, command: &Command) -> Result<Value> {
        let (status, body) = self.request("POST", "/api/commands", Some(serde_json::to_value(command)?)).await?;
        ensure!(status < 300, "{status}: {body}\n{command:?}");
        Ok(if body.is_empty() { Value::Null } else { serde_json::from_str(&body)? })
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.request("GET", path, None).await?;
        ensure!(status == 200, "GET {path}: {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// A work order's content, as the office sees it.
    ///
    /// # Errors
    /// It is not there.
    pub async fn work_order(&self, id: WorkOrderId) -> Result<WorkOrder> {
        self.entity(Kind::WorkOrder, id.0).await
    }

    /// A document's content, as the office sees it.
    ///
    /// # Errors
    /// It is not there.
    pub async fn entity<T: serde::de::DeserializeOwned>(&self, kind: Kind, id: Uuid) -> Result<T> {
        let shown = self.get(&format!("/api/documents/{id}")).await?;
        ensure!(shown["entity"]["kind"] == kind.name(), "of another kind: {shown}");
        Ok(opened(|| serde_json::from_value(shown["entity"].clone()))?)
    }

    /// A document's status word, as lists show it.
    ///
    /// # Errors
    /// It is not there.
    pub async fn status(&self, id: Uuid) -> Result<String> {
        let shown = self.get(&format!("/api/documents/{id}")).await?;
        Ok(shown["summary"]["status"].as_str().unwrap_or_default().to_owned())
    }
}

/// The system's clock, off by as much as a test says.
#[derive(Clone, Default)]
pub struct SkewedEnv {
    skew: Arc<AtomicI64>,
}

impl SkewedEnv {
    /// Puts the clock off by so many milliseconds.
    pub fn set(&self, ms: i64) {
        self.skew.store(ms, Ordering::SeqCst);
    }
}

impl Env for SkewedEnv {
    fn now(&self) -> Millis {
        SystemEnv.now().plus(self.skew.load(Ordering::SeqCst))
    }
    fn fill(&self, buf: &mut [u8]) {
        SystemEnv.fill(buf);
    }
}

/// A technician's phone: a real engine on a real file.
pub struct Phone {
    /// Its folder.
    pub dir: PathBuf,
    /// Its network.
    pub link: Link,
    /// Its clock.
    pub env: SkewedEnv,
    /// Its engine.
    pub engine: Arc<Mutex<Engine>>,
    /// Its line to the server.
    pub client: Arc<Client>,
}

impl Phone {
    /// Opens (or makes) a phone's folder.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(dir: &Path, link: Link) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let env = SkewedEnv::default();
        let conn = rusqlite::Connection::open(dir.join("device.sqlite"))?;
        let blobs = FolderBlobs::open(dir.join("blobs"))?;
        let engine = Arc::new(Mutex::new(Engine::open(conn, Box::new(env.clone()), Box::new(blobs))?));
        let client = Arc::new(Client::new(engine.clone(), "onsite-e2e/0.1")?);
        Ok(Self { dir: dir.to_owned(), link, env, engine, client })
    }

    /// Closes the phone and answers its link, so that it can be opened again.
    pub fn close(self) -> (PathBuf, Link) {
        (self.dir, self.link)
    }

    /// The engine.
    pub fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a command, offline as always.
    ///
    /// # Errors
    /// A rule refuses.
    pub fn execute(&self, command: &Command) -> Result<()> {
        self.engine().execute(command).with_context(|| format!("{command:?}"))?;
        Ok(())
    }

    /// One sync.
    ///
    /// # Errors
    /// The link or the server fails.
    pub async fn sync(&self) -> Result<SyncReport> {
        Ok(self.client.sync_once().await?)
    }

    /// Everything about a document.
    ///
    /// # Errors
    /// It is not on this phone.
    pub fn show(&self, kind: Kind, id: Uuid) -> Result<Detail> {
        Ok(self.engine().show(DocRef::new(kind, onsite_core::domain::DocId(id)))?)
    }

    /// A visit, as this phone has it.
    ///
    /// # Errors
    /// It is not on this phone.
    pub fn visit(&self, id: VisitId) -> Result<onsite_core::domain::Visit> {
        match self.show(Kind::Visit, id.0)?.entity {
            onsite_core::domain::Entity::Visit(visit) => Ok(visit),
            other => bail!("not a visit: {other:?}"),
        }
    }
}
