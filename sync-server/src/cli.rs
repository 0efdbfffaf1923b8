//! The command `onsite`.

use crate::term::{complain, say};
use crate::{Config, Error, audit, auth, gate::Gate, keep, office};
use clap::{Args, Parser, Subcommand};
use onsite_core::domain::{Author, DeviceId, Role, StaffId, Zone};
use std::{
    collections::BTreeSet,
    io::{IsTerminal as _, Read as _},
    path::PathBuf,
    process::ExitCode,
};

const AFTER: &str = "\
First steps: `onsite company add NAME`, `onsite user add --company NAME --login boss --name … --role admin`,
`onsite serve`, and for each phone `onsite device-code --company NAME --staff NAME`. `onsite demo` shows it all.

Exit codes: 0 done, 1 not done (one line says why, with a stable code), 2 wrong use or configuration.";

/// Onsite 现场: offline-first after-sales field service
#[derive(Parser, Debug)]
#[command(name = "onsite", version, after_help = AFTER)]
struct Cli {
    /// Configuration file; `onsite.toml` where it is there.
    #[arg(long, global = true, env = "ONSITE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the server
    Serve,
    /// Companies on this server
    #[command(subcommand)]
    Company(Company),
    /// People who sign in at the office.
    #[command(subcommand)]
    User(User),
    /// Makes a one-time code for a person's phone.
    DeviceCode(DeviceCode),
    /// Revokes a phone, at once and for good.
    RevokeDevice(RevokeDevice),
    /// Writes everything to a new folder; the server may be running.
    Backup {
        /// The folder; must not be there.
        to: PathBuf,
    },
    /// Puts a backup in place and starts a new epoch; the server must not be running.
    Restore {
        /// The backup's folder.
        from: PathBuf,
        /// Even where there is a database (it is kept beside).
        #[arg(long)]
        force: bool,
    },
    /// Takes in customers and equipment from a CSV or XLSX file: all of it, or nothing.
    Import(Import),
    /// The audit chain: who did what, and whether nobody changed that since
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Runs a whole company to look at: a year of history, six phones that work offline.
    Demo(crate::demo::DemoArgs),
    /// The technician's phone in a terminal: works with no network and no server's configuration.
    Device(crate::device::DeviceArgs),
    /// Prints the document of the office's API (OpenAPI 3.1)
    Openapi,
    /// Reads the configuration and says what is wrong, or what holds.
    CheckConfig,
}

#[derive(Subcommand, Debug)]
enum Company {
    /// Creates a company and prints its id.
    Add {
        /// Its name.
        name: String,
    },
    /// Prints all companies.
    List,
}

#[derive(Subcommand, Debug)]
enum User {
    /// Creates a person with a login name and a password.
    Add(UserAdd),
    /// Gives a login name a new password.
    Password(UserPassword),
}

#[derive(Args, Debug)]
struct UserAdd {
    /// The company's id or name.
    #[arg(long)]
    company: String,
    /// Login name; absent: the person has a phone only.
    #[arg(long)]
    login: Option<String>,
    /// Name.
    #[arg(long)]
    name: String,
    /// 工号
    #[arg(long, default_value = "")]
    code: String,
    /// Phone number.
    #[arg(long, default_value = "")]
    phone: String,
    /// Role; may be given several times.
    #[arg(long, required = true, value_parser = role)]
    role: Vec<Role>,
    /// Reads the password from standard input instead of asking.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args, Debug)]
struct UserPassword {
    /// Login name.
    #[arg(long)]
    login: String,
    /// Reads the password from standard input instead of asking.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Args, Debug)]
struct DeviceCode {
    /// The company's id or name.
    #[arg(long)]
    company: String,
    /// The person's id, 工号 or name.
    #[arg(long)]
    staff: String,
}

#[derive(Args, Debug)]
struct RevokeDevice {
    /// The company's id or name.
    #[arg(long)]
    company: String,
    /// The device's id or short code.
    device: String,
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    /// Follows the whole chain; prints its length and end as N:HASH, or names the first entry that does not hold.
    ///
    /// What was cut off at the end cannot be seen from the chain alone: keep the N:HASH it prints
    /// elsewhere, and give it to --expect later.
    Verify {
        /// The company's id or name; all companies where absent.
        #[arg(long)]
        company: Option<String>,
        /// A point the chain must contain, N:HASH as printed before.
        #[arg(long, value_name = "N:HASH", requires = "company")]
        expect: Option<audit::Point>,
    },
    /// Prints entries: when, who, what. The newest, or those after --after.
    List {
        /// The company's id or name.
        #[arg(long)]
        company: String,
        /// Begins after this entry.
        #[arg(long, value_name = "N")]
        after: Option<u64>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
struct Import {
    /// The company's id or name.
    #[arg(long)]
    company: String,
    /// The file.
    file: PathBuf,
    /// Only checks.
    #[arg(long)]
    dry_run: bool,
}

fn role(s: &str) -> Result<Role, String> {
    s.parse().map_err(|_| {
        let known: Vec<_> = Role::ALL.iter().map(|r| r.word()).collect();
        format!("the roles are {}", known.join(", "))
    })
}

/// Runs the command that the arguments name. Exit codes: 0 done, 1 failed, 2 wrong use or configuration.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // The gate's workers and the thread that writes need cores too. Threads that find no work wake each other in vain.
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            complain(&format!("onsite: {e}"));
            return ExitCode::FAILURE;
        }
    };
    // A phone has no server's configuration.
    let cli = match cli {
        Cli { command: Command::Device(args), .. } => return runtime.block_on(crate::device::run(args)),
        cli => cli,
    };
    if let Command::Openapi = cli.command {
        return match crate::term::out(format_args!("{}", crate::routes::openapi::text())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                complain(&format!("onsite: {e} [file]"));
                ExitCode::FAILURE
            }
        };
    }
    let config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        Err(e) => {
            complain(&format!("onsite: {e} [bad_config]"));
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(dispatch(cli.command, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("onsite: {e} [{}]", e.code()));
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::Serve => serve(config).await,
        Command::Company(Company::Add { name }) => {
            let ledger = crate::open(&config).await?;
            let company = ledger.create_tenant(&name).await?.id;
            office::open_company(&ledger, company, &name).await?;
            Ok(say!("{company}")?)
        }
        Command::Company(Company::List) => {
            for t in crate::open(&config).await?.storage().tenants().await? {
                say!("{}  {}", t.id, t.name)?;
            }
            Ok(())
        }
        Command::User(User::Add(args)) => {
            let ledger = crate::open(&config).await?;
            let company = office::find_company(&ledger, &args.company).await?;
            let login = match args.login {
                Some(login) => {
                    let login = auth::login_name(&login)?;
                    if auth::user(&ledger, &login).await?.is_some() {
                        return Err(Error::Conflict {
                            code: "login_taken",
                            detail: format!("the login name {login} is taken"),
                        });
                    }
                    Some((login, password(args.password_stdin)?))
                }
                None => None,
            };
            let roles = args.role.into_iter().collect();
            let staff = office::add_staff(&ledger, company, &args.name, &args.code, &args.phone, roles).await?;
            if let Some((login, password)) = login {
                auth::set_password(&ledger, company, staff, &login, &password).await?;
            }
            Ok(say!("{staff}")?)
        }
        Command::User(User::Password(args)) => {
            let ledger = crate::open(&config).await?;
            let user = auth::user(&ledger, &args.login).await?;
            let user = user.ok_or_else(|| Error::NotFound(format!("no login name {:?}", args.login)))?;
            auth::set_password(&ledger, user.tenant, user.staff, &args.login, &password(args.password_stdin)?).await
        }
        Command::DeviceCode(args) => {
            let ledger = crate::open(&config).await?;
            let company = office::find_company(&ledger, &args.company).await?;
            let staff = auth::find_staff(&ledger, company, &args.staff).await?;
            let code = auth::device_code(
                &ledger,
                company,
                StaffId(uuid::Uuid::nil()),
                staff,
                &config.url(),
                config.auth.code_seconds,
            )
            .await?;
            print_code(&code, config.auth.code_seconds)
        }
        Command::RevokeDevice(args) => {
            let ledger = crate::open(&config).await?;
            let company = office::find_company(&ledger, &args.company).await?;
            let devices = ledger.storage().devices(company).await?;
            let named = |d: &crate::storage::Device| {
                d.id.to_string() == args.device || d.code.eq_ignore_ascii_case(&args.device)
            };
            let found: Option<DeviceId> = devices.iter().map(|(d, _)| d).find(|d| named(d)).map(|d| d.id);
            let id = found.ok_or_else(|| Error::NotFound(format!("no device {:?}", args.device)))?;
            auth::revoke(&ledger, company, StaffId(uuid::Uuid::nil()), id).await?;
            Ok(say!("{id} revoked")?)
        }
        Command::Backup { to } => {
            let manifest = keep::backup(&config, &crate::open(&config).await?, &to).await?;
            let blobs = match manifest.blobs {
                Some(n) => format!("{n} blobs"),
                None => format!("blobs are in {}", config.blob_store()),
            };
            Ok(say!("{}: {} companies; {blobs}", to.display(), manifest.companies.len())?)
        }
        Command::Restore { from, force } => {
            let manifest = keep::restore(&config, &from, force).await?;
            say!(
                "{} companies restored, each in a new epoch; phones will send again what was lost",
                manifest.companies.len()
            )?;
            Ok(say!("devices revoked since the backup must be revoked again")?)
        }
        Command::Demo(args) => crate::demo::run(args).await,
        // Done before the configuration was read.
        Command::Device(_) | Command::Openapi => Ok(()),
        Command::Import(args) => import(&config, args).await,
        Command::Audit(what) => audit_chain(&config, what).await,
        Command::CheckConfig => {
            say!(
                "listen    {}\naddress   {}\ndatabase  {}\nblobs     {}",
                config.listen,
                config.url(),
                config.database_path().display(),
                config.blob_store()
            )?;
            Ok(say!("tls       {}", if config.tls.key.is_some() { "by this server" } else { "by a proxy" })?)
        }
    }
}

async fn audit_chain(config: &Config, what: AuditCommand) -> Result<(), Error> {
    let ledger = crate::open(config).await?;
    match what {
        AuditCommand::Verify { company: None, .. } => {
            let mut broken = None;
            for t in ledger.storage().tenants().await? {
                match audit::verify(ledger.storage(), t.id, None).await {
                    Ok(end) => say!("{}: {} entries hold; end {end}", t.name, end.n)?,
                    // The other companies' chains are worth knowing about too.
                    Err(e) if e.code() == "audit_broken" => {
                        say!("{}: {e}", t.name)?;
                        broken = broken.or(Some(e));
                    }
                    Err(e) => return Err(e),
                }
            }
            broken.map_or(Ok(()), Err)
        }
        AuditCommand::Verify { company: Some(who), expect } => {
            let company = office::find_company(&ledger, &who).await?;
            let end = audit::verify(ledger.storage(), company, expect).await?;
            Ok(say!("{} entries hold; end {end}", end.n)?)
        }
        AuditCommand::List { company, after, limit, json } => {
            let company = office::find_company(&ledger, &company).await?;
            let entries = audit::list(&ledger, company, after, usize::from(limit)).await?;
            let people = office::names(&ledger, company).await?;
            let zone = Zone::of(&office::settings(&ledger, company).await?);
            for e in &entries {
                if json {
                    let entry = serde_json::json!({ "n": e.n, "entry": e.entry });
                    say!("{entry}")?;
                    continue;
                }
                let who = match people.get(&e.entry.by) {
                    Some(name) => name.clone(),
                    None if e.entry.by.0.is_nil() => "(operator)".into(),
                    None => e.entry.by.to_string(),
                };
                let detail = if e.entry.detail.is_null() { String::new() } else { format!("  {}", e.entry.detail) };
                let (at, what) = (zone.format(e.entry.at), &e.entry.action);
                say!("{:>6}  {at}  {who}  {what}  {}{detail}", e.n, e.entry.subject)?;
            }
            match entries.last() {
                Some(last) if !json && entries.len() == usize::from(limit) && after.is_some() => {
                    Ok(say!("more: --after {}", last.n)?)
                }
                None if !json => Ok(say!("no entries")?),
                _ => Ok(()),
            }
        }
    }
}

async fn import(config: &Config, args: Import) -> Result<(), Error> {
    use crate::import::{Failed, MAX_FILE, run};
    let named = |e: std::io::Error| Error::File(std::io::Error::new(e.kind(), format!("{}: {e}", args.file.display())));
    let size = std::fs::metadata(&args.file).map_err(named)?.len();
    if size > MAX_FILE as u64 {
        return Err(Error::TooLarge(format!("{}: {size} bytes; at most {MAX_FILE}", args.file.display())));
    }
    let bytes = std::fs::read(&args.file).map_err(named)?;
    let ledger = crate::open(config).await?;
    let company = office::find_company(&ledger, &args.company).await?;
    let operator = Author {
        staff: StaffId(uuid::Uuid::nil()),
        roles: BTreeSet::from([Role::Admin, Role::Clerk]),
        device_code: None,
    };
    match run(&ledger, company, &operator, &bytes, &args.file.to_string_lossy(), args.dry_run).await {
        Ok(plan) => Ok(say!(
            "customers: {} new, {} changed; equipment: {} new, {} changed{}",
            plan.customers_new,
            plan.customers_changed,
            plan.equipment_new,
            plan.equipment_changed,
            if args.dry_run { " (only checked)" } else { "" }
        )?),
        Err(Failed::Lines(lines)) => {
            for line in &lines {
                complain(&format!("{}: {line}", args.file.display()));
            }
            Err(Error::bad("bad_lines", "file", format!("{} errors; nothing was imported", lines.len())))
        }
        Err(Failed::Server(e)) => Err(e),
    }
}

fn password(from_stdin: bool) -> Result<String, Error> {
    if from_stdin {
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text)?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::bad("bad_password", "password", "no terminal to ask at: use --password-stdin"));
    }
    let first = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("Again: ")? != first {
        return Err(Error::bad("bad_password", "password", "the two differ"));
    }
    Ok(first)
}

fn print_code(code: &auth::DeviceCode, seconds: u64) -> Result<(), Error> {
    say!(
        "code   {}\nshort  {}  (five tries)\nlink   {}\nends in {} minutes, serves once\n",
        code.code,
        code.short_code,
        code.url,
        seconds / 60
    )?;
    if let Ok(qr) = qrcode::QrCode::new(&code.url) {
        // Dark modules as blanks on a light terminal would not scan: the light ones are drawn.
        let drawn = qr
            .render::<qrcode::render::unicode::Dense1x2>()
            .dark_color(qrcode::render::unicode::Dense1x2::Light)
            .light_color(qrcode::render::unicode::Dense1x2::Dark)
            .build();
        say!("{drawn}")?;
    }
    Ok(())
}

/// Sends the log to standard error, in the form of the configuration.
pub fn start_log(config: &Config) {
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};
    let filter: tracing_subscriber::filter::Targets = config
        .log
        .filter
        .parse()
        .unwrap_or_else(|_| tracing_subscriber::filter::Targets::new().with_default(tracing::Level::INFO));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log.format {
        crate::config::LogFormat::Text => lines.boxed(),
        crate::config::LogFormat::Json => lines.json().boxed(),
    };
    // A second call in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

async fn serve(config: Config) -> Result<(), Error> {
    start_log(&config);
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ledger = crate::open(&config).await?.with_gate(Gate::workers(&config.gate)?);
    let running = crate::serve_with(config, ledger).await?;
    tracing::info!(addr = %running.addr, "serving");
    say!("listening on {}", running.app.config.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        stop = tokio::signal::ctrl_c() => stop?,
    }
    tracing::info!("stopping: finishing what is under way");
    running.shutdown().await
}
