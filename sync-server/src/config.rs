//! Configuration: a TOML file, then environment variables `ONSITE_…`
//! (two underscores between a section and its key: `ONSITE_LIMITS__PHOTO_BYTES`).
//!
//! Every key is described in `onsite.example.toml`. A key that nobody knows is
//! an error that names it and where it stands: a misspelt limit must not pass
//! for one that is set.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// The file read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "onsite.toml";

/// Variables of other parts of the program that share the prefix.
const NOT_CONFIGURATION: [&str; 7] = [
    "ONSITE_BIN",
    "ONSITE_CONFIG",
    "ONSITE_DEMO",
    "ONSITE_DEVICE",
    "ONSITE_LANG",
    "ONSITE_PASSPHRASE",
    "ONSITE_PASSWORD",
];

/// The server's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address to listen on; port 0 for any free one.
    pub listen: SocketAddr,
    /// The address users see, such as `https://onsite.example.com`; derived from `listen` where absent.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` says who really asks.
    pub proxies: Vec<IpAddr>,
    /// Folder of everything the server keeps.
    pub data: PathBuf,
    /// The SQLite file; `<data>/onsite.sqlite` where absent.
    pub database: Option<PathBuf>,
    /// Where blobs are kept.
    pub blobs: Blobs,
    /// Caps.
    pub limits: Limits,
    /// The processes that try foreign changes.
    pub gate: Gate,
    /// Sign-in.
    pub auth: Auth,
    /// Sign-in through an identity provider, besides passwords.
    pub oidc: Oidc,
    /// TLS by the server itself; a proxy's business where absent.
    pub tls: Tls,
    /// Telling other programs what happens.
    pub webhooks: Webhooks,
    /// Log.
    pub log: Log,
    /// Who may read `/metrics`.
    pub metrics: Metrics,
}

/// Where blobs are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Blobs {
    /// A folder, or `s3://bucket/prefix` (feature `s3`; credentials as in `AWS_…`);
    /// `<data>/blobs` where absent.
    pub store: Option<String>,
}

/// Caps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Largest sync body in bytes, after decompression.
    pub body_bytes: usize,
    /// Largest body of any other request in bytes, after decompression.
    pub form_bytes: usize,
    /// Largest photo (or other blob) in bytes.
    pub photo_bytes: u64,
    /// Most bytes of unfinished uploads per device.
    pub upload_quota_bytes: u64,
    /// Most refused changes per device that wait for the office; what would be more is not taken.
    pub set_aside_per_device: u64,
    /// Hours after which an unfinished upload is dropped.
    pub upload_hours: u64,
    /// Requests per minute and device.
    pub device_requests_per_minute: u32,
    /// Tries of sign-in or enrolment per minute and address.
    pub login_tries_per_minute: u32,
    /// Failed sign-ins before a login name is locked.
    pub login_failures: u32,
    /// Seconds it stays locked.
    pub lockout_seconds: u64,
    /// Seconds after which a request is given up.
    pub request_seconds: u64,
    /// Seconds without a byte after which an upload's request is given up; what came is kept.
    pub idle_seconds: u64,
    /// Most listeners to `/v1/events`.
    pub event_listeners: usize,
    /// Seconds granted to requests under way when the server stops.
    pub shutdown_seconds: u64,
}

/// The processes that try foreign changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    /// How many; 0 for one per processor.
    pub workers: usize,
    /// Most memory of each, in bytes of address space.
    pub memory_bytes: u64,
    /// Most processor time for the changes of one document in one message, in seconds.
    pub cpu_seconds: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { workers: 0, memory_bytes: 1 << 30, cpu_seconds: 3 }
    }
}

/// Sign-in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// Seconds a device's token lives.
    pub token_seconds: u64,
    /// Seconds an enrolment code lives.
    pub code_seconds: u64,
    /// Seconds without use after which an office session ends.
    pub session_idle_seconds: u64,
    /// Seconds after which an office session ends in any case.
    pub session_seconds: u64,
    /// Sends the session cookie without `Secure`, for plain HTTP on this machine only.
    pub insecure_cookies: bool,
}

/// Sign-in through an identity provider (OpenID Connect). Whoever it names must be a user here already.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Oidc {
    /// The provider's address, as it names itself; absent: passwords only.
    pub issuer: Option<String>,
    /// What it calls us.
    pub client_id: String,
    /// What proves to it that it is us; absent for a public client.
    pub client_secret: Option<String>,
    /// What the button says.
    pub name: String,
    /// The claim that is the login name here: `email` (which must be verified), `preferred_username`, `sub`.
    pub claim: String,
    /// What is asked for.
    pub scopes: Vec<String>,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: String::new(),
            client_secret: None,
            name: "SSO".into(),
            claim: "email".into(),
            scopes: vec!["openid".into(), "email".into(), "profile".into()],
        }
    }
}

/// TLS by the server itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// PEM file of the certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file of the private key.
    pub key: Option<PathBuf>,
}

/// Telling other programs what happens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Webhooks {
    /// Lets webhooks lead to this machine and to private networks, and over plain HTTP.
    pub allow_private: bool,
    /// Seconds after which a receiver's answer is given up.
    pub timeout_seconds: u64,
    /// Hours of failing after which a webhook is switched off.
    pub give_up_hours: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { allow_private: false, timeout_seconds: 15, give_up_hours: 120 }
    }
}

/// Form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What is logged, such as `info` or `onsite_server=debug,info`.
    pub filter: String,
}

/// Who may read `/metrics`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Addresses that may.
    pub addresses: Vec<IpAddr>,
    /// A bearer token that may, from anywhere.
    pub token: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            proxies: Vec::new(),
            data: PathBuf::from("onsite-data"),
            database: None,
            blobs: Blobs::default(),
            limits: Limits::default(),
            gate: Gate::default(),
            auth: Auth::default(),
            oidc: Oidc::default(),
            tls: Tls::default(),
            webhooks: Webhooks::default(),
            log: Log::default(),
            metrics: Metrics::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: onsite_core::sync::protocol::MAX_REQUEST,
            form_bytes: 1 << 20,
            photo_bytes: 20 << 20,
            upload_quota_bytes: 2 << 30,
            set_aside_per_device: 1_000,
            upload_hours: 168,
            device_requests_per_minute: 600,
            login_tries_per_minute: 30,
            login_failures: 5,
            lockout_seconds: 900,
            request_seconds: 60,
            idle_seconds: 60,
            event_listeners: 20_000,
            shutdown_seconds: 30,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            token_seconds: 900,
            code_seconds: 600,
            session_idle_seconds: 1800,
            session_seconds: 43_200,
            insecure_cookies: false,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".into() }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { addresses: vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])], token: None }
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, is not TOML, or a value has the wrong type.
    #[error("configuration: {0}")]
    Unreadable(String),
    /// A key that nobody knows.
    #[error("configuration: unknown key `{key}` in {origin}")]
    UnknownKey {
        /// The key, with its section.
        key: String,
        /// The file, or the environment.
        origin: String,
    },
    /// A value that cannot be.
    #[error("configuration: `{key}`: {why}")]
    BadValue {
        /// The key, with its section.
        key: &'static str,
        /// Why not.
        why: String,
    },
}

impl Config {
    /// Reads the configuration from `file` (or `onsite.toml`, if it is there)
    /// and the process's environment.
    ///
    /// # Errors
    /// Where the file is missing or not TOML, a key is unknown, or a value cannot be.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_from(file, std::env::vars().collect())
    }

    /// As [`Config::load`], with the environment as an argument.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_from(file: Option<&Path>, environment: HashMap<String, String>) -> Result<Self, ConfigError> {
        let unreadable = |e: config::ConfigError| ConfigError::Unreadable(e.to_string());
        let environment = environment
            .into_iter()
            .filter(|(k, _)| !NOT_CONFIGURATION.iter().any(|other| k.to_ascii_uppercase().starts_with(other)));
        let (path, required) = match file {
            Some(path) => (path, true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        let merged = config::Config::builder()
            .add_source(config::File::from(path).format(config::FileFormat::Toml).required(required))
            .add_source(
                config::Environment::with_prefix("ONSITE")
                    .prefix_separator("_")
                    .separator("__")
                    .try_parsing(true)
                    .list_separator(",")
                    .with_list_parse_key("metrics.addresses")
                    .with_list_parse_key("proxies")
                    .with_list_parse_key("oidc.scopes")
                    .source(Some(environment.collect())),
            )
            .build()
            .map_err(unreadable)?;
        let known = serde_json::to_value(Self::default()).map_err(|e| ConfigError::Unreadable(e.to_string()))?;
        if let config::ValueKind::Table(table) = &merged.cache.kind {
            known_keys("", table, &known)?;
        }
        let config: Self = merged.try_deserialize().map_err(unreadable)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what a type cannot say.
    ///
    /// # Errors
    /// Names the key that cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let bad = |key, why: &str| Err(ConfigError::BadValue { key, why: why.into() });
        let limits = &self.limits;
        for (key, value) in [
            ("limits.body_bytes", limits.body_bytes as u64),
            ("limits.form_bytes", limits.form_bytes as u64),
            ("limits.photo_bytes", limits.photo_bytes),
            ("limits.set_aside_per_device", limits.set_aside_per_device),
            ("limits.upload_hours", limits.upload_hours),
            ("limits.device_requests_per_minute", u64::from(limits.device_requests_per_minute)),
            ("limits.login_tries_per_minute", u64::from(limits.login_tries_per_minute)),
            ("limits.login_failures", u64::from(limits.login_failures)),
            ("limits.request_seconds", limits.request_seconds),
            ("limits.idle_seconds", limits.idle_seconds),
            ("gate.cpu_seconds", self.gate.cpu_seconds),
            ("auth.token_seconds", self.auth.token_seconds),
            ("auth.code_seconds", self.auth.code_seconds),
            ("auth.session_idle_seconds", self.auth.session_idle_seconds),
            ("auth.session_seconds", self.auth.session_seconds),
            ("webhooks.timeout_seconds", self.webhooks.timeout_seconds),
            ("webhooks.give_up_hours", self.webhooks.give_up_hours),
        ] {
            if value == 0 {
                return bad(key, "must be more than 0");
            }
        }
        if self.gate.memory_bytes < 256 << 20 {
            return bad("gate.memory_bytes", "less than 256 MiB: honest documents would be refused");
        }
        if limits.upload_quota_bytes < limits.photo_bytes {
            return bad(
                "limits.upload_quota_bytes",
                "is less than limits.photo_bytes: no photo of that size could be sent",
            );
        }
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => return bad("tls.key", "is missing beside tls.certificate"),
            (None, Some(_)) => return bad("tls.certificate", "is missing beside tls.key"),
            (Some(certificate), Some(key)) => {
                if !certificate.is_file() {
                    return bad("tls.certificate", &format!("{} is not a file", certificate.display()));
                }
                if !key.is_file() {
                    return bad("tls.key", &format!("{} is not a file", key.display()));
                }
            }
            (None, None) => {}
        }
        if let Some(url) = &self.public_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return bad("public_url", "must begin with https:// or http://");
        }
        if let Some(issuer) = &self.oidc.issuer {
            let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|l| issuer.starts_with(l));
            if !issuer.starts_with("https://") && !local {
                return bad("oidc.issuer", "must begin with https://");
            }
            if self.oidc.client_id.is_empty() {
                return bad("oidc.client_id", "is missing beside oidc.issuer");
            }
            if !self.oidc.scopes.iter().any(|s| s == "openid") {
                return bad("oidc.scopes", "must hold openid");
            }
        }
        if self.auth.insecure_cookies && !self.listen.ip().is_loopback() {
            return bad(
                "auth.insecure_cookies",
                "is for a server that listens on this machine only (listen = 127.0.0.1:…)",
            );
        }
        if let Some(store) = &self.blobs.store {
            if store.starts_with("s3://") && !cfg!(feature = "s3") {
                return bad("blobs.store", "this program was built without the feature `s3`");
            }
            if store.contains("://") && !store.starts_with("s3://") {
                return bad("blobs.store", "must be a folder, or s3://bucket/prefix");
            }
        }
        if let Err(e) = self.log.filter.parse::<tracing_subscriber::filter::Targets>() {
            return bad("log.filter", &e.to_string());
        }
        Ok(())
    }

    /// The SQLite file.
    pub fn database_path(&self) -> PathBuf {
        self.database.clone().unwrap_or_else(|| self.data.join("onsite.sqlite"))
    }

    /// The folder of blobs, or the `s3://` address.
    pub fn blob_store(&self) -> String {
        self.blobs.store.clone().unwrap_or_else(|| self.data.join("blobs").to_string_lossy().into_owned())
    }

    /// The folder of unfinished uploads.
    pub fn uploads_path(&self) -> PathBuf {
        self.data.join("uploads")
    }

    /// The folder of photos made small; may be emptied at any time.
    pub fn thumbnails_path(&self) -> PathBuf {
        self.data.join("thumbnails")
    }

    /// Whether the session cookie carries `Secure`.
    pub fn secure_cookies(&self) -> bool {
        !self.auth.insecure_cookies
    }

    /// The address users see, without a slash at its end.
    pub fn url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{}://{}", if self.tls.key.is_some() { "https" } else { "http" }, self.listen),
        }
    }
}

/// Refuses a key that the default configuration does not have.
fn known_keys(
    prefix: &str,
    table: &config::Map<String, config::Value>,
    known: &serde_json::Value,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (known.get(key), &value.kind) {
            (None, _) => {
                let origin = value.origin().unwrap_or("the environment").to_owned();
                return Err(ConfigError::UnknownKey { key: path, origin });
            }
            (Some(known), config::ValueKind::Table(inner)) if known.is_object() => known_keys(&path, inner, known)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn from(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("onsite.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load_from(Some(&file), env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn file_then_environment() {
        let c = from(
            "listen = \"127.0.0.1:9\"\n[limits]\nphoto_bytes = 5\n",
            &[
                ("ONSITE_LIMITS__PHOTO_BYTES", "7"),
                ("ONSITE_METRICS__ADDRESSES", "10.0.0.1,::1"),
                ("ONSITE_DEVICE_FILE", "x"),
                ("PATH", "y"),
            ],
        )
        .unwrap();
        assert_eq!((c.listen.port(), c.limits.photo_bytes, c.metrics.addresses.len()), (9, 7, 2));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let wrong = |toml: &str, env: &[(&str, &str)]| from(toml, env).unwrap_err().to_string();
        let e = wrong("[limits]\nfoto_bytes = 5\n", &[]);
        assert!(e.contains("`limits.foto_bytes`") && e.contains("onsite.toml"), "{e}");
        let e = wrong("", &[("ONSITE_LIMITS__FOTO_BYTES", "5")]);
        assert!(e.contains("`limits.foto_bytes`") && e.contains("environment"), "{e}");
        let e = wrong("[limits]\nphoto_bytes = \"big\"\n", &[]);
        assert!(e.contains("photo_bytes") && e.contains("onsite.toml"), "{e}");
        let e = wrong("listen = \"nowhere\"\n", &[]);
        assert!(e.contains("listen"), "{e}");
        let e = wrong("listen = \n", &[]);
        assert!(e.contains("onsite.toml"), "{e}");
        let e = wrong("[tls]\nkey = \"k.pem\"\n", &[]);
        assert!(e.contains("tls.certificate"), "{e}");
        let e = wrong("listen = \"0.0.0.0:80\"\n[auth]\ninsecure_cookies = true\n", &[]);
        assert!(e.contains("auth.insecure_cookies"), "{e}");
        let e = Config::load_from(Some(Path::new("/nonexistent/onsite.toml")), HashMap::new()).unwrap_err().to_string();
        assert!(e.contains("/nonexistent/onsite.toml"), "{e}");
    }

    #[test]
    fn the_example_file_names_every_key_with_its_default() {
        let example = include_str!("../../onsite.example.toml");
        // Each key stands in a comment with its default; uncommented, the file loads and changes nothing but what has none.
        let uncommented: String = example
            .lines()
            .map(|l| l.strip_prefix("#=").unwrap_or(l))
            .filter(|l| !l.starts_with('#'))
            .fold(String::new(), |s, l| s + l + "\n");
        assert_eq!(from(&uncommented, &[]).unwrap(), Config::default());
        fn keys(prefix: &str, v: &serde_json::Value, out: &mut Vec<String>) {
            for (k, v) in v.as_object().into_iter().flatten() {
                if v.is_object() {
                    keys(k, v, out)
                } else {
                    out.push(format!("{prefix}{}{k}", if prefix.is_empty() { "" } else { "." }))
                }
            }
        }
        let mut all = Vec::new();
        keys("", &serde_json::to_value(Config::default()).unwrap(), &mut all);
        for key in all {
            let word = key.rsplit('.').next().unwrap();
            assert!(
                example.lines().any(|l| l.trim_start_matches(['#', '=', ' ']).starts_with(&format!("{word} ="))),
                "{key} is not in onsite.example.toml"
            );
        }
    }
}
