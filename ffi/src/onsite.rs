//! The one object: a phone's records.

use crate::cipher;
use crate::command::Command;
use crate::error::{OnsiteError, Result};
use crate::mirror::{Day, Doc, Id, Mirror, hash};
use crate::run::{
    CancelToken, ChangeListener, ProgressListener, Subscription, SyncProgress, blocking, runtime, spawned, unless,
};
use crate::views::{
    ClashedDoc, Detail, HistoryEntry, Identity, Imported, ListOf, NewPhoto, Page, ReadyToLeave, RefusedEdit, Status,
    SyncReport, ToSign, Today,
};
use crate::words::Language;
use onsite_core::domain::{self as core, DocRef};
use onsite_core::engine::{Client, Engine, WatchId};
use onsite_core::env::{Env as _, SystemEnv};
use onsite_core::store::blobs::FolderBlobs;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Changes within so long of each other are told together.
const COALESCE: Duration = Duration::from_millis(30);
/// Progress is told no oftener.
const PROGRESS: Duration = Duration::from_millis(100);

/// Where and how the records are opened.
#[derive(Clone, uniffi::Record)]
pub struct OpenOptions {
    /// A folder of the app's own, not in its backups: the database and the photos go there; made where there is none.
    pub folder: String,
    /// The app's name and version, for the office to see.
    pub app: String,
    /// The database's key, 32 bytes from the platform's key store, where it is (or a new one is to be) encrypted.
    /// Only in builds with SQLCipher. Photos lie beside the database as they are.
    #[uniffi(default = None)]
    pub key: Option<Vec<u8>>,
    /// Encrypts with this key from now on: in place of `key`, or for the first time. Keep both until it is opened.
    #[uniffi(default = None)]
    pub new_key: Option<Vec<u8>>,
}

/// What is open: gone at the shutdown.
struct Open {
    engine: Arc<Mutex<Engine>>,
    client: Client,
    /// Ends what goes on in the background.
    ends: CancellationToken,
}

impl Open {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        // A panic under the lock left the file as its last commit did.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A phone's records: open them once in a process, and hold on to them.
///
/// Any thread may call; calls take turns at the database, and none blocks the
/// thread it is made on. After `shut_down` every call answers `ShutDown`.
///
/// Errors that are "the store's" are `DiskFull`, `Locked`, `Unreadable` and `Failed`:
/// what was stored before stays as it was.
#[derive(uniffi::Object)]
pub struct Onsite {
    open: Mutex<Option<Arc<Open>>>,
}

impl Onsite {
    fn opened(&self) -> Result<Arc<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(OnsiteError::ShutDown)
    }

    /// Asks or does something with the engine, off the caller's thread.
    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Engine) -> Result<T> + Send + 'static) -> Result<T> {
        let open = self.opened()?;
        blocking(move || work(&mut open.engine())).await
    }
}

#[uniffi::export]
impl Onsite {
    /// Opens the records of this app's folder; migrates them where they are of an older version.
    ///
    /// # Errors
    /// `Unreadable`, `WrongKey`, `Locked`, `DiskFull`, `Failed`: the file stays as it was. `Invalid` for a key that
    /// is none, or where the build does not encrypt.
    #[uniffi::constructor]
    pub async fn open(options: OpenOptions) -> Result<Arc<Self>> {
        blocking(move || {
            let folder = PathBuf::from(&options.folder);
            std::fs::create_dir_all(&folder).map_err(onsite_core::Error::from)?;
            let file = folder.join("device.sqlite");
            let conn = cipher::open(&file, options.key.as_deref(), options.new_key.as_deref())?;
            let blobs = FolderBlobs::open(folder.join("blobs"))?;
            let engine = Engine::open(conn, Box::new(SystemEnv), Box::new(blobs))?;
            let engine = Arc::new(Mutex::new(engine));
            let client = Client::new(Arc::clone(&engine), &options.app)?;
            let open = Open { engine, client, ends: CancellationToken::new() };
            Ok(Arc::new(Self { open: Mutex::new(Some(Arc::new(open))) }))
        })
        .await
    }

    /// Ends background work and closes the file, once calls under way are through. Does nothing the second time.
    ///
    /// # Errors
    /// `Failed` where there is no thread to close it on.
    pub async fn shut_down(&self) -> Result<()> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(open) = open else { return Ok(()) };
        open.ends.cancel();
        // Whoever is last lets the file go; it is closed off the caller's thread.
        blocking(move || {
            drop(open);
            Ok(())
        })
        .await
    }

    // ---- identity ----

    /// Whose this device is; absent before enrolment.
    ///
    /// # Errors
    /// The store's.
    pub async fn identity(&self) -> Result<Option<Identity>> {
        self.with(|e| Ok(e.identity()?.mirror())).await
    }

    /// Enrols this device by the office's one-time code (of its QR, or typed). Needs the network.
    ///
    /// # Errors
    /// `Invalid` for an address that is none; `Offline`; `Server` with `wrong_code` and the like;
    /// `UnsentWork` where the file holds another person's unsent work.
    pub async fn enrol(&self, server: String, code: String, device_name: String) -> Result<Identity> {
        let open = self.opened()?;
        spawned(async move {
            open.client.enrol(&server, &code, &device_name).await?;
            blocking(move || open.engine().identity()?.mirror().ok_or(OnsiteError::NotEnrolled)).await
        })
        .await
    }

    /// Forgets who is signed in and wipes the records.
    ///
    /// # Errors
    /// `UnsentWork` while anything is unsent: sync, or export a rescue file, first.
    pub async fn sign_out(&self) -> Result<()> {
        self.with(|e| Ok(e.sign_out()?)).await
    }

    /// A fresh id for what a command creates.
    pub fn new_id(&self) -> Id {
        Id(SystemEnv.new_id())
    }

    // ---- the door in ----

    /// Does a command. When it answers, the edit is durable on this device and
    /// queued to be sent. Answers the documents that changed; none where
    /// everything was so already.
    ///
    /// # Errors
    /// `NotEnrolled`; `Refused` with the rule's code and field; `Invalid`; the store's. Nothing is written then.
    pub async fn execute(&self, command: Command) -> Result<Vec<Doc>> {
        self.with(|e| {
            let command = command.decided_at(e.now())?;
            Ok(e.execute(&command)?.docs.mirror())
        })
        .await
    }

    /// As `execute`, any command there is, as the JSON that the office's API takes.
    ///
    /// # Errors
    /// As `execute`; `Invalid` where it is no such JSON.
    pub async fn execute_json(&self, command: String) -> Result<Vec<Doc>> {
        let command: core::Command = serde_json::from_str(&command).map_err(|e| OnsiteError::invalid("command", e))?;
        self.with(move |e| Ok(e.execute(&command)?.docs.mirror())).await
    }

    /// Stores a photo's bytes durably and links them; the photo is sent after texts and signatures.
    ///
    /// # Errors
    /// `Invalid` for a photo over the company's limit or a media type that is none; `DiskFull`; as `execute`.
    pub async fn add_photo(&self, photo: NewPhoto, bytes: Vec<u8>) -> Result<Vec<Doc>> {
        self.with(move |e| {
            let stored = e.add_blob(&bytes, &photo.media_type)?;
            let command = core::Command::AddPhoto {
                doc: photo.doc.into(),
                id: core::ItemId(photo.id.0),
                blob: stored.blob,
                size: stored.size,
                media_type: photo.media_type,
                caption: photo.caption,
                check: photo.check,
            };
            Ok(e.execute(&command)?.docs.mirror())
        })
        .await
    }

    // ---- the door out ----

    /// The company's day it is now.
    ///
    /// # Errors
    /// The store's.
    pub async fn day(&self) -> Result<Day> {
        self.with(|e| Ok(Day(e.day()))).await
    }

    /// The day's work; today where no day is given.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    #[uniffi::method(default(day = None))]
    pub async fn today(&self, day: Option<Day>) -> Result<Today> {
        self.with(move |e| {
            let day = day.map_or_else(|| e.day(), |d| d.0);
            Ok(e.today(day)?.mirror())
        })
        .await
    }

    /// Documents of a kind, newest due first, a page at a time.
    ///
    /// # Errors
    /// `Invalid` where `after` is no mark of a page; the store's.
    #[uniffi::method(default(after = None))]
    pub async fn list(&self, of: ListOf, after: Option<String>) -> Result<Page> {
        self.with(move |e| Ok(e.list(of.kind.into(), of.status.as_deref(), after.as_deref())?.mirror())).await
    }

    /// Full-text search over numbers, names, phones and texts; finds single Chinese characters too.
    ///
    /// # Errors
    /// `Invalid` where `after` is no mark of a page; the store's.
    #[uniffi::method(default(after = None))]
    pub async fn search(&self, words: String, after: Option<String>) -> Result<Page> {
        self.with(move |e| Ok(e.search(&words, after.as_deref())?.mirror())).await
    }

    /// Everything about one document.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub async fn show(&self, doc: Doc) -> Result<Detail> {
        self.with(move |e| Ok(e.show(doc.into())?.mirror())).await
    }

    /// A document's changes, oldest first, with how far each has got.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub async fn history(&self, doc: Doc) -> Result<Vec<HistoryEntry>> {
        self.with(move |e| Ok(e.history(doc.into())?.mirror())).await
    }

    /// Documents with clashes, to be chosen by `Command.ChooseClash`.
    ///
    /// # Errors
    /// The store's.
    pub async fn clashes(&self) -> Result<Vec<ClashedDoc>> {
        self.with(|e| Ok(e.clashes()?.mirror())).await
    }

    /// The badge: what waits, and whether the phone may be handed in.
    ///
    /// # Errors
    /// The store's.
    pub async fn status(&self) -> Result<Status> {
        self.with(|e| Ok(e.status()?.mirror())).await
    }

    /// Is everything here that the day needs? Asked before coverage ends.
    ///
    /// # Errors
    /// `NotEnrolled`; the store's.
    pub async fn ready_to_leave(&self) -> Result<ReadyToLeave> {
        self.with(|e| Ok(e.ready_to_leave()?.mirror())).await
    }

    /// What the customer sees before signing a visit's form.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub async fn to_sign(&self, visit: Id) -> Result<ToSign> {
        self.with(move |e| Ok(e.to_sign(core::VisitId(visit.0))?.mirror())).await
    }

    /// The paper form of a work order or a visit, as a page of HTML to show or print.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for other kinds; the store's.
    pub async fn render_form(&self, doc: Doc, language: Language) -> Result<String> {
        self.with(move |e| Ok(e.render(doc.into(), language.into())?)).await
    }

    // ---- photos ----

    /// A photo's bytes, if they are on this device.
    ///
    /// # Errors
    /// `Invalid` for a hash that is none; the store's.
    pub async fn photo(&self, blob: String) -> Result<Option<Vec<u8>>> {
        let name: core::Sha256 = hash("blob", &blob)?;
        self.with(move |e| Ok(e.blob(name)?)).await
    }

    /// A photo's bytes, fetched from the server where they are not here.
    ///
    /// # Errors
    /// `Invalid`; `Offline`; `NotFound`; the store's.
    #[uniffi::method(default(cancel = None))]
    pub async fn fetch_photo(&self, blob: String, cancel: Option<Arc<CancelToken>>) -> Result<Vec<u8>> {
        let (open, name) = (self.opened()?, hash("blob", &blob)?);
        unless(cancel, spawned(async move { Ok(open.client.fetch_blob(name).await?) })).await
    }

    // ---- refused edits ----

    /// Edits that the server refused and nobody has dealt with.
    ///
    /// # Errors
    /// The store's.
    pub async fn refused(&self) -> Result<Vec<RefusedEdit>> {
        self.with(|e| Ok(e.refused()?.mirror())).await
    }

    /// Writes a refused edit again as it is, after its cause was removed.
    ///
    /// # Errors
    /// `NotFound` where no such refusal is open; `Failed` where it cannot be written again.
    pub async fn resend(&self, refused: i64) -> Result<Vec<Doc>> {
        self.with(move |e| Ok(e.resend(refused)?.docs.mirror())).await
    }

    /// Does a command in place of a refused edit, which is then settled.
    ///
    /// # Errors
    /// `NotFound` where no such refusal is open; as `execute`.
    pub async fn amend(&self, refused: i64, command: Command) -> Result<Vec<Doc>> {
        self.with(move |e| {
            let command = command.decided_at(e.now())?;
            Ok(e.amend(refused, &command)?.docs.mirror())
        })
        .await
    }

    /// Lets a refused edit rest, or takes note of what the office decided about it.
    ///
    /// # Errors
    /// `NotFound` where no such refusal is open; the store's.
    pub async fn dismiss(&self, refused: i64) -> Result<()> {
        self.with(move |e| Ok(e.dismiss(refused)?)).await
    }

    // ---- rescue ----

    /// Everything unsent, encrypted, for another phone or the office to import.
    ///
    /// # Errors
    /// `Invalid` for a passphrase too short; the store's.
    pub async fn rescue_export(&self, passphrase: String) -> Result<Vec<u8>> {
        self.with(move |e| Ok(e.rescue_export(&passphrase)?)).await
    }

    /// Takes over what a rescue file holds, as this device's own.
    ///
    /// # Errors
    /// `Rescue`; `Invalid`; the store's.
    pub async fn rescue_import(&self, file: Vec<u8>, passphrase: String) -> Result<Imported> {
        self.with(move |e| Ok(e.rescue_import(&file, &passphrase)?.mirror())).await
    }

    // ---- sync and notices ----

    /// Syncs until nothing waits. What was done before an error or a cancellation stays done.
    ///
    /// # Errors
    /// `NotEnrolled`, `Offline`, `Unauthorized`, `Server`, `Cancelled`; the store's.
    #[uniffi::method(default(cancel = None, progress = None))]
    pub async fn sync(
        &self,
        cancel: Option<Arc<CancelToken>>,
        progress: Option<Arc<dyn ProgressListener>>,
    ) -> Result<SyncReport> {
        let open = self.opened()?;
        let told = progress.map(|listener| tell_progress(&open, listener)).transpose()?;
        let ends = open.ends.clone();
        let work = spawned(async move {
            tokio::select! {
                biased;
                () = ends.cancelled() => Err(OnsiteError::ShutDown),
                done = open.client.sync_once() => Ok(done?.mirror()),
            }
        });
        let done = unless(cancel, work).await;
        if let Some((ends, told)) = told {
            ends.cancel();
            // The listener has heard the end before the caller does.
            let _told = told.await;
        }
        done
    }

    /// Syncs in the background: at every edit, when the server calls, and
    /// again after errors with growing waits; until stopped, shut down or revoked.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn keep_synced(&self) -> Result<Arc<Subscription>> {
        let open = self.opened()?;
        let token = open.ends.child_token();
        let cancelled = token.clone();
        runtime()?.spawn(async move { open.client.run(cancelled.cancelled()).await });
        Ok(Subscription::new(token))
    }

    /// Tells a listener which documents change, until the subscription is stopped or let go.
    ///
    /// # Errors
    /// `ShutDown`.
    pub fn watch(&self, listener: Arc<dyn ChangeListener>) -> Result<Arc<Subscription>> {
        let open = self.opened()?;
        let (waiting, woken) = (Arc::new(Mutex::new(BTreeSet::<DocRef>::new())), Arc::new(Notify::new()));
        let watch = watch(&open, {
            let (waiting, woken) = (Arc::clone(&waiting), Arc::clone(&woken));
            move |docs: &[DocRef]| {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(docs);
                woken.notify_one();
            }
        });
        let token = open.ends.child_token();
        let ended = token.clone();
        runtime()?.spawn(async move {
            let told = async {
                loop {
                    woken.notified().await;
                    tokio::time::sleep(COALESCE).await;
                    let docs = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
                    let docs = docs.into_iter().collect::<Vec<_>>().mirror();
                    let listener = Arc::clone(&listener);
                    // A listener takes its time on a thread that may wait.
                    let _told = tokio::task::spawn_blocking(move || listener.changed(docs)).await;
                }
            };
            tokio::select! { () = ended.cancelled() => {}, () = told => {} }
            unwatch(open, watch).await;
        });
        Ok(Subscription::new(token))
    }
}

fn watch(open: &Open, heard: impl Fn(&[DocRef]) + Send + 'static) -> WatchId {
    open.engine().watch(Box::new(heard))
}

async fn unwatch(open: Arc<Open>, id: WatchId) {
    // The engine may be busy, and the file may be closed with this last hold on it.
    let _done = tokio::task::spawn_blocking(move || open.engine().unwatch(id)).await;
}

/// Tells how far a sync has got at every commit, until its token is cancelled; then once more.
fn tell_progress(
    open: &Arc<Open>,
    listener: Arc<dyn ProgressListener>,
) -> Result<(CancellationToken, tokio::task::JoinHandle<()>)> {
    let woken = Arc::new(Notify::new());
    let id = watch(open, {
        let woken = Arc::clone(&woken);
        move |_: &[DocRef]| woken.notify_one()
    });
    let token = open.ends.child_token();
    let (ended, open) = (token.clone(), Arc::clone(open));
    let told = runtime()?.spawn(async move {
        loop {
            let last = tokio::select! { biased; () = ended.cancelled() => true, () = woken.notified() => false };
            let (held, heard) = (Arc::clone(&open), Arc::clone(&listener));
            let _told = tokio::task::spawn_blocking(move || {
                let status = held.engine().status();
                if let Ok(s) = status {
                    let _heard = heard.progressed(SyncProgress {
                        documents: s.documents,
                        remaining: s.remaining,
                        unsent_changes: s.unsent_changes,
                        blob_bytes_waiting: s.blob_bytes_waiting,
                    });
                }
            })
            .await;
            if last {
                break;
            }
            tokio::select! { () = ended.cancelled() => {}, () = tokio::time::sleep(PROGRESS) => {} }
        }
        unwatch(open, id).await;
    });
    Ok((token, told))
}
