//! The command `onsite`.
#![expect(clippy::print_stdout, reason = "a command answers on its standard output")]

use crate::{Config, Error, auth, gate::Gate, keep, ledger::Ledger};
use clap::{Args, Parser, Subcommand};
use onsite_core::domain::{Author, Command as Do, DeviceId, Role, StaffId, TenantId};
use std::{
    collections::BTreeSet,
    io::{IsTerminal as _, Read as _},
    path::PathBuf,
    process::ExitCode,
};

/// Onsite 现场: offline-first after-sales field service.
#[derive(Parser, Debug)]
#[command(name = "onsite", version)]
struct Cli {
    /// Configuration file; `onsite.toml` where it is there.
    #[arg(long, global = true, env = "ONSITE_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the server.
    Serve,
    /// Companies.
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
    /// Runs a whole company to look at: a year of history, six phones that work offline.
    Demo(crate::demo::DemoArgs),
    /// The technician's phone in a terminal: works with no network and no server's configuration.
    Device(crate::device::DeviceArgs),
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
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("onsite: {e}");
            return ExitCode::FAILURE;
        }
    };
    // A phone has no server's configuration.
    let cli = match cli {
        Cli { command: Command::Device(args), .. } => return runtime.block_on(crate::device::run(args)),
        cli => cli,
    };
    let config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("onsite: {e}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(dispatch(cli.command, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("onsite: {e} [{}]", e.code());
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command, config: Config) -> Result<(), Error> {
    match command {
        Command::Serve => serve(config).await,
        Command::Company(Company::Add { name }) => {
            println!("{}", crate::open(&config).await?.create_tenant(&name).await?.id);
            Ok(())
        }
        Command::Company(Company::List) => {
            for t in crate::open(&config).await?.storage().tenants().await? {
                println!("{}  {}", t.id, t.name);
            }
            Ok(())
        }
        Command::User(User::Add(args)) => {
            let ledger = crate::open(&config).await?;
            let company = company(&ledger, &args.company).await?;
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
            let staff =
                add_staff(&ledger, company, &args.name, &args.code, &args.phone, args.role.into_iter().collect())
                    .await?;
            if let Some((login, password)) = login {
                auth::set_password(&ledger, company, staff, &login, &password).await?;
            }
            println!("{staff}");
            Ok(())
        }
        Command::User(User::Password(args)) => {
            let ledger = crate::open(&config).await?;
            let user = auth::user(&ledger, &args.login).await?;
            let user = user.ok_or_else(|| Error::NotFound(format!("no login name {:?}", args.login)))?;
            auth::set_password(&ledger, user.tenant, user.staff, &args.login, &password(args.password_stdin)?).await
        }
        Command::DeviceCode(args) => {
            let ledger = crate::open(&config).await?;
            let company = company(&ledger, &args.company).await?;
            let staff = auth::find_staff(&ledger, company, &args.staff).await?;
            let code = auth::device_code(&ledger, company, staff, &config.url(), config.auth.code_seconds).await?;
            print_code(&code, config.auth.code_seconds);
            Ok(())
        }
        Command::RevokeDevice(args) => {
            let ledger = crate::open(&config).await?;
            let company = company(&ledger, &args.company).await?;
            let devices = ledger.storage().devices(company).await?;
            let named = |d: &crate::storage::Device| {
                d.id.to_string() == args.device || d.code.eq_ignore_ascii_case(&args.device)
            };
            let found: Option<DeviceId> = devices.iter().map(|(d, _)| d).find(|d| named(d)).map(|d| d.id);
            let id = found.ok_or_else(|| Error::NotFound(format!("no device {:?}", args.device)))?;
            auth::revoke(&ledger, company, StaffId(uuid::Uuid::nil()), id).await?;
            println!("{id} revoked");
            Ok(())
        }
        Command::Backup { to } => {
            let manifest = keep::backup(&config, &crate::open(&config).await?, &to).await?;
            match manifest.blobs {
                Some(n) => println!("{}: {} companies, {n} blobs", to.display(), manifest.companies.len()),
                None => println!(
                    "{}: {} companies; blobs are in {}",
                    to.display(),
                    manifest.companies.len(),
                    config.blob_store()
                ),
            }
            Ok(())
        }
        Command::Restore { from, force } => {
            let manifest = keep::restore(&config, &from, force).await?;
            println!(
                "{} companies restored, each in a new epoch; phones will send again what was lost",
                manifest.companies.len()
            );
            println!("devices revoked since the backup must be revoked again");
            Ok(())
        }
        Command::Demo(args) => crate::demo::run(args).await,
        // Done before the configuration was read.
        Command::Device(_) => Ok(()),
        Command::Import(args) => import(&config, args).await,
        Command::CheckConfig => {
            println!(
                "listen    {}\naddress   {}\ndatabase  {}\nblobs     {}",
                config.listen,
                config.url(),
                config.database_path().display(),
                config.blob_store()
            );
            println!("tls       {}", if config.tls.key.is_some() { "by this server" } else { "by a proxy" });
            Ok(())
        }
    }
}

async fn import(config: &Config, args: Import) -> Result<(), Error> {
    use crate::import::{Failed, MAX_FILE, run};
    let size = std::fs::metadata(&args.file)?.len();
    if size > MAX_FILE as u64 {
        return Err(Error::TooLarge(format!("{}: {size} bytes; at most {MAX_FILE}", args.file.display())));
    }
    let bytes = std::fs::read(&args.file)?;
    let ledger = crate::open(config).await?;
    let company = company(&ledger, &args.company).await?;
    let operator = Author {
        staff: StaffId(uuid::Uuid::nil()),
        roles: BTreeSet::from([Role::Admin, Role::Clerk]),
        device_code: None,
    };
    match run(&ledger, company, &operator, &bytes, &args.file.to_string_lossy(), args.dry_run).await {
        Ok(plan) => {
            println!(
                "customers: {} new, {} changed; equipment: {} new, {} changed{}",
                plan.customers_new,
                plan.customers_changed,
                plan.equipment_new,
                plan.equipment_changed,
                if args.dry_run { " (only checked)" } else { "" }
            );
            Ok(())
        }
        Err(Failed::Lines(lines)) => {
            for line in &lines {
                eprintln!("{}: {line}", args.file.display());
            }
            Err(Error::bad("bad_lines", "file", format!("{} errors; nothing was imported", lines.len())))
        }
        Err(Failed::Server(e)) => Err(e),
    }
}

/// Creates a member of staff, on the operator's authority.
///
/// # Errors
/// What the rule says.
pub async fn add_staff(
    ledger: &Ledger,
    company: TenantId,
    name: &str,
    code: &str,
    phone: &str,
    roles: BTreeSet<Role>,
) -> Result<StaffId, Error> {
    let operator =
        Author { staff: StaffId(uuid::Uuid::nil()), roles: BTreeSet::from([Role::Admin]), device_code: None };
    let id = StaffId(ledger.env().new_id());
    let command = Do::PutStaff { id, name: name.into(), code: code.into(), phone: phone.into(), roles };
    ledger.execute(company, &operator, &command, None).await?;
    Ok(id)
}

/// Finds a company by its id or name.
///
/// # Errors
/// [`Error::NotFound`], or `ambiguous`.
pub async fn company(ledger: &Ledger, who: &str) -> Result<TenantId, Error> {
    let all = ledger.storage().tenants().await?;
    let mut found = all.iter().filter(|t| t.id.to_string() == who || t.name == who);
    match (found.next(), found.next()) {
        (Some(t), None) => Ok(t.id),
        (None, _) => Err(Error::NotFound(format!("no company {who:?}"))),
        _ => Err(Error::bad("ambiguous", "company", format!("several companies are called {who:?}: give the id"))),
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

fn print_code(code: &auth::DeviceCode, seconds: u64) {
    println!(
        "code   {}\nshort  {}  (five tries)\nlink   {}\nends in {} minutes, serves once\n",
        code.code,
        code.short_code,
        code.url,
        seconds / 60
    );
    if let Ok(qr) = qrcode::QrCode::new(&code.url) {
        // Dark modules as blanks on a light terminal would not scan: the light ones are drawn.
        let drawn = qr
            .render::<qrcode::render::unicode::Dense1x2>()
            .dark_color(qrcode::render::unicode::Dense1x2::Light)
            .light_color(qrcode::render::unicode::Dense1x2::Dark)
            .build();
        println!("{drawn}");
    }
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
    println!("listening on {}", running.app.config.url());
    tokio::select! {
        _ = terminate.recv() => {}
        stop = tokio::signal::ctrl_c() => stop?,
    }
    tracing::info!("stopping: finishing what is under way");
    running.shutdown().await
}
