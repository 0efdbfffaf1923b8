//! A company's life, step by step, and how it comes to rest.

use super::Outcome;
use super::check;
use super::deeds::{self, Deed, Office};
use super::dice::Dice;
use super::net::{self, Ask, Packet, failed, from_the_future, offline};
use super::phone::{Album, Disk, Flight, Phone};
use super::server::{self, Backup, Done, Server};
use onsite_core::document::screen::screen;
use onsite_core::domain::{
    ChangeHash, CustomerId, DeviceId, DocId, DocRef, Kind, Millis, RequestId, Role, Sha256, StaffId, TenantId,
    WorkOrderId,
};
use onsite_core::store::{chunks, meta, outbox};
use onsite_core::sync::protocol::{EnrolAnswer, Fate, SyncAnswer, SyncRequest};
use onsite_core::sync::session::{Effect, Event, Failure};
use onsite_server::storage::Device;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};

/// Where every seed begins, in milliseconds.
const NOON: i64 = 1_764_000_000_000;
/// Rounds of syncing within which everything must have come to rest.
const ROUNDS: usize = 40;
/// The first of them, in which disks may fail still.
const FRAIL: usize = 2;
/// Exchanges of one phone within which one sync must have ended.
const EXCHANGES: usize = 2_000;

/// How something written is found again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Needle {
    /// A word or an id that the content's JSON holds.
    Word(String),
    /// A key that this version does not know.
    Key(String),
}

/// Something written on a phone.
#[derive(Clone, Debug)]
pub(super) struct Wrote {
    pub(super) doc: DocRef,
    /// Its first change.
    pub(super) hash: Option<ChangeHash>,
    pub(super) needle: Needle,
}

/// A company.
pub(super) struct Company {
    pub(super) tenant: TenantId,
    pub(super) boss: StaffId,
    pub(super) technicians: Vec<StaffId>,
    pub(super) customers: Vec<CustomerId>,
    pub(super) orders: Vec<WorkOrderId>,
    pub(super) requests: Vec<RequestId>,
    pub(super) to_assign: Vec<WorkOrderId>,
}

/// An acknowledgement, as the device saw it: written down outside the system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Ack {
    pub(super) tenant: TenantId,
    pub(super) doc: DocId,
    pub(super) hash: ChangeHash,
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// How often what happened.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }
        impl Stats {
            /// Adds another seed's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
            /// Each by its name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

stats! {
    /// Edits made on phones.
    edits,
    /// Acknowledgements seen by phones.
    acknowledged,
    /// Edits set aside by the server.
    set_aside,
    /// Requests that never arrived.
    requests_dropped,
    /// Requests that arrived twice.
    requests_doubled,
    /// Answers that never arrived.
    answers_dropped,
    /// Answers that were damaged.
    answers_damaged,
    /// Documents that left a phone's scope and came back.
    left,
    /// Apps that died.
    crashes,
    /// Commits that did not come through.
    failed_commits,
    /// Clocks that jumped.
    clock_jumps,
    /// Phones out of reach for a while.
    partitions,
    /// Servers that died in the middle of requests.
    server_crashes,
    /// Servers restored from a backup.
    server_restores,
    /// Phones whose file was copied and used on by two.
    clones,
    /// Phones restored from an older copy.
    phone_restores,
    /// Devices revoked.
    revoked,
    /// Messages with fields of a newer version.
    newer_messages,
    /// Documents with fields of a newer version.
    newer_edits,
    /// Edits that authority refuses.
    forbidden_edits,
    /// Photos that reached the server.
    photos,
    /// Pokes heard.
    pokes,
    /// Seeds with two companies.
    two_companies,
    /// Seeds over a file.
    on_disk,
}

/// How likely each misfortune is, in the order of [`World::misfortune`].
const MISFORTUNES: [usize; 12] = [12, 8, 10, 16, 4, 6, 6, 5, 5, 7, 3, 10];
/// The same of lives whose server is backed up and restored again and again.
const RESTLESS: [usize; 12] = [6, 4, 5, 16, 4, 20, 24, 3, 3, 4, 2, 6];

/// Everything of one seed.
pub struct World {
    seed: u64,
    loud: bool,
    pub(super) dice: Dice,
    pub(super) now: i64,
    pub(super) server: Server,
    pub(super) companies: Vec<Company>,
    pub(super) phones: Vec<Phone>,
    packets: Vec<Packet>,
    /// Which phone waits for which flight.
    flights: BTreeMap<u64, usize>,
    next_flight: u64,
    pub(super) acks: BTreeSet<Ack>,
    pub(super) wrote: Vec<Wrote>,
    backups: Vec<Backup>,
    revoked: BTreeSet<(TenantId, DeviceId)>,
    listeners: Vec<tokio::sync::broadcast::Receiver<onsite_server::ledger::Poke>>,
    trace: sha2::Sha256,
    healing: bool,
    pub(super) stats: Stats,
}

type Step = Result<(), String>;

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl World {
    /// A world as its seed founds it.
    pub(super) fn new(seed: u64, loud: bool) -> Result<Self, String> {
        let mut dice = Dice::new(seed);
        let on_disk = dice.below(64) == 0;
        let mut world = Self {
            seed,
            loud,
            now: NOON,
            server: Server::new(seed, NOON, on_disk)?,
            companies: Vec::new(),
            phones: Vec::new(),
            packets: Vec::new(),
            flights: BTreeMap::new(),
            next_flight: 1,
            acks: BTreeSet::new(),
            wrote: Vec::new(),
            backups: Vec::new(),
            revoked: BTreeSet::new(),
            listeners: Vec::new(),
            trace: sha2::Sha256::new(),
            healing: false,
            stats: Stats { on_disk: u64::from(on_disk), ..Stats::default() },
            dice,
        };
        let companies = if world.dice.percent(15) { 2 } else { 1 };
        world.stats.two_companies = companies - 1;
        for _ in 0..companies {
            world.found()?;
        }
        world.listen();
        Ok(world)
    }

    fn listen(&mut self) {
        self.listeners = self.companies.iter().map(|c| self.server.ledger.hub().listen(c.tenant)).collect();
    }

    fn found(&mut self) -> Step {
        let tenant = self.server.wait(self.server.ledger.create_tenant("浆模设备公司")).map_err(text)?.id;
        let mut company = Company {
            tenant,
            boss: StaffId(self.dice.id(self.now)),
            technicians: Vec::new(),
            customers: Vec::new(),
            orders: Vec::new(),
            requests: Vec::new(),
            to_assign: Vec::new(),
        };
        let phones = match self.dice.below(10) {
            0..6 => 2,
            6..8 => 3,
            8 => 4,
            _ => 5 + self.dice.below(3),
        };
        let people = 1 + self.dice.below(phones.min(3));
        let commands = deeds::founding(&mut company, people, &mut self.dice, self.now);
        let author = server::boss(company.boss);
        self.server.wait(self.server.ledger.execute_all(tenant, &author, &commands)).map_err(text)?;
        let at = self.companies.len();
        for n in 0..phones {
            let (device, staff) = (DeviceId(self.dice.id(self.now)), company.technicians[n % people]);
            let code = format!("A{n}");
            let row = Device {
                id: device,
                staff,
                code: code.clone(),
                name: "phone".into(),
                public_key: vec![1],
                alg: "ed25519".into(),
                app: "sim".into(),
                enrolled: Millis(self.now),
                revoked: None,
            };
            self.server.wait(self.server.ledger.storage().put_device(tenant, row)).map_err(text)?;
            let answer = EnrolAnswer {
                tenant,
                company: "浆模设备公司".into(),
                device,
                device_code: code,
                staff,
                roles: [Role::Technician].into(),
            };
            let (disk, env) = (Disk::new().map_err(text)?, self.dice.any());
            let disk = (disk, Album::default());
            let phone = Phone::new(at, device, disk, Some(&answer), (tenant, staff), env, self.now, &mut self.dice)
                .map_err(text)?;
            self.phones.push(phone);
        }
        self.companies.push(company);
        Ok(())
    }

    // ---- what is told ----

    pub(super) fn tell(&mut self, what: &str) {
        self.trace.update(self.now.to_be_bytes());
        self.trace.update(what.as_bytes());
        self.trace.update([0]);
        if self.loud {
            let t = self.now - NOON;
            eprintln!("{:>9}.{:03} {what}", t / 1000, t % 1000);
        }
    }

    fn tell_bytes(&mut self, what: &str, bytes: &[u8]) {
        self.trace.update(bytes);
        let hash: [u8; 32] = sha2::Sha256::digest(bytes).into();
        self.tell(&format!("{what} {} bytes {:02x}{:02x}{:02x}", bytes.len(), hash[0], hash[1], hash[2]));
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.server.env.set(Millis(self.now));
        for phone in &self.phones {
            phone.set_clock(self.now);
        }
    }

    // ---- a life ----

    /// Lives the seed to its end and looks at what is left.
    pub(super) fn live(mut self) -> Result<Outcome, String> {
        let steps = match self.dice.below(40) {
            // Many small lives find more than a few long ones, and some things need a long one.
            0..31 => 10 + self.dice.below(30),
            31..39 => 40 + self.dice.below(80),
            _ => 150 + self.dice.below(350),
        };
        // Most begin the day with all jobs on their phones.
        for phone in 0..self.phones.len() {
            if self.dice.percent(70) {
                self.phone_event(phone, Event::Start)?;
                self.healing = true;
                self.drain()?;
                self.healing = false;
            }
        }
        for n in 0..steps {
            let pause = match self.dice.below(20) {
                0 => self.dice.within(0, 4 * 3_600_000),
                1..6 => self.dice.within(0, 60_000),
                _ => self.dice.within(0, 800),
            };
            self.pass(pause);
            self.step(n)?;
        }
        self.heal()?;
        check::all(&mut self)?;
        let trace: [u8; 32] = self.trace.finalize().into();
        Ok(Outcome { trace: Sha256(trace).to_string(), stats: self.stats })
    }

    fn living(&mut self) -> Option<usize> {
        let all: Vec<usize> = (0..self.phones.len()).filter(|n| !self.phones[*n].wiped).collect();
        self.dice.pick(&all)
    }

    fn step(&mut self, n: usize) -> Step {
        let moving = if self.packets.is_empty() { 0 } else { 34 };
        let serving = if self.server.jobs.is_empty() { 0 } else { 60 };
        match self.dice.weighted(&[moving, serving, 34, 12, 8, 4, 6]) {
            0 => self.move_packet(),
            1 => {
                let job = self.dice.below(self.server.jobs.len());
                for _ in 0..1 + self.dice.below(6) {
                    if let Some((flight, done)) = self.server.turn(job) {
                        return self.served(flight, done);
                    }
                }
                Ok(())
            }
            2 => {
                for _ in 0..1 + self.dice.below(3) {
                    self.deed(n)?;
                }
                Ok(())
            }
            3 => {
                let Some(phone) = self.living() else { return Ok(()) };
                if self.phones[phone].flight.is_some() {
                    // What comes while an answer is awaited changes nothing.
                    let event = if self.dice.percent(50) { Event::Tick } else { Event::Poke };
                    return self.phone_event(phone, event);
                }
                let event = if self.dice.percent(80) { Event::Start } else { Event::Tick };
                self.phone_event(phone, event)
            }
            4 => self.office(n),
            5 => self.poke(),
            _ => self.misfortune(),
        }
    }

    fn deed(&mut self, _step: usize) -> Step {
        let Some(n) = self.living() else { return Ok(()) };
        let number = self.wrote.len();
        // Numbers of deeds are never used twice, whatever comes of them.
        let deed = deeds::on_phone(&mut self.phones[n], number, &mut self.dice);
        match deed {
            Ok(Deed::Nothing(what)) => self.tell(&format!("phone {n}: {what} comes to nothing")),
            Ok(Deed::Wrote(what, wrote)) => {
                self.stats.edits += 1;
                self.stats.newer_edits += u64::from(what == "newer");
                self.stats.forbidden_edits += u64::from(what == "forbidden");
                let told = wrote.as_ref().map(|w| format!(" {:?} {} {:?}", w.doc.kind, w.doc.id, w.needle));
                self.tell(&format!("phone {n}: {what}{}", told.unwrap_or_default()));
                if let Some(wrote) = wrote {
                    if what == "report" {
                        let company = self.phones[n].company;
                        self.companies[company].requests.push(wrote.doc.id.into());
                    }
                    self.phones[n].wrote.push(number);
                    self.wrote.push(wrote);
                }
            }
            Err(e) => self.phone_failed(n, &e)?,
        }
        Ok(())
    }

    /// The engine answered an error: only a commit made to fail may do that.
    fn phone_failed(&mut self, n: usize, e: &onsite_core::Error) -> Step {
        self.tell(&format!("phone {n}: {e}"));
        if !matches!(e, onsite_core::Error::Database(_)) || !e.to_string().contains("constraint") {
            return Err(format!("phone {n}: {e}"));
        }
        self.stats.failed_commits += 1;
        check::whole(&self.phones[n]).map_err(|e| format!("phone {n}, after a commit that failed: {e}"))?;
        self.phones[n].flight = None;
        if self.dice.percent(60) {
            self.phones[n].crash();
        }
        Ok(())
    }

    fn office(&mut self, n: usize) -> Step {
        let at = self.dice.below(self.companies.len());
        let now = self.now;
        let Some(what) = deeds::in_office(&mut self.companies[at], n, &mut self.dice, now) else { return Ok(()) };
        let name = match &what {
            Office::Command(name, _) => *name,
            Office::Look(_) => "looks",
            Office::Decide(..) => "decides",
        };
        self.tell(&format!("office {at}: {name}"));
        let flight = self.next_flight;
        self.next_flight += 1;
        match deeds::carry_out(&mut self.server, flight, &self.companies[at], what) {
            Some(done) => self.served(flight, done),
            None => Ok(()),
        }
    }

    fn poke(&mut self) -> Step {
        for at in 0..self.listeners.len() {
            let mut heard = BTreeSet::new();
            while let Ok(poke) = self.listeners[at].try_recv() {
                for (n, phone) in self.phones.iter().enumerate() {
                    if phone.company == at && !phone.wiped && !phone.away && poke.concerns(phone.staff) {
                        heard.insert(n);
                    }
                }
            }
            for n in heard {
                // Losing one loses nothing.
                if self.phones[n].flight.is_none() && self.dice.percent(50) {
                    self.stats.pokes += 1;
                    self.phone_event(n, Event::Poke)?;
                }
            }
        }
        Ok(())
    }

    fn misfortune(&mut self) -> Step {
        let Some(n) = self.living() else { return Ok(()) };
        match self.dice.weighted(if self.seed % 8 == 2 { &RESTLESS } else { &MISFORTUNES }) {
            0 => {
                self.stats.crashes += 1;
                self.tell(&format!("phone {n}: dies"));
                self.phones[n].crash();
            }
            1 => {
                // Soon, or in the middle of a long sync and what follows it.
                let left = 1 + if self.dice.percent(50) { self.dice.below(4) } else { self.dice.below(24) };
                self.tell(&format!("phone {n}: its commit number {left} from now will fail"));
                self.phones[n].fail_commit(u8::try_from(left).unwrap_or(1));
            }
            2 => {
                let by = self.dice.pick(&[-3_600_000, 86_400_000, -60_000, 3_600_000]).unwrap_or(0);
                self.stats.clock_jumps += 1;
                self.tell(&format!("phone {n}: its clock jumps by {by}"));
                self.phones[n].skew += by;
                self.phones[n].set_clock(self.now);
            }
            3 => {
                self.phones[n].away ^= true;
                self.stats.partitions += u64::from(self.phones[n].away);
                self.tell(&format!("phone {n}: away: {}", self.phones[n].away));
            }
            4 => {
                self.stats.server_crashes += u64::from(!self.server.jobs.is_empty());
                self.tell("the server dies");
                self.cut_off();
            }
            5 => {
                let backup = self.server.backup()?;
                self.backups.push(backup);
                self.tell("the server is backed up");
            }
            6 => self.restore_server()?,
            7 => {
                if self.phones.len() < 8 && !self.phones[n].revoked {
                    self.clone_phone(n)?;
                }
            }
            8 => {
                if self.phones[n].copies.len() < 3 {
                    self.phones[n].put_copy_away().map_err(text)?;
                    self.tell(&format!("phone {n}: a copy of its file is put away"));
                }
            }
            9 => {
                if !self.phones[n].copies.is_empty() && !self.phones[n].revoked {
                    let copy = self.dice.below(self.phones[n].copies.len());
                    self.phones[n].restore(copy).map_err(text)?;
                    self.stats.phone_restores += 1;
                    self.tell(&format!("phone {n}: restored from its copy {copy}"));
                    if self.dice.percent(30) {
                        self.phones[n].engine().map_err(text)?.mint_actor().map_err(text)?;
                    }
                }
            }
            10 => {
                let (tenant, device) = (self.phones[n].tenant, self.phones[n].device);
                // Somebody must be left to hold the company together.
                let left =
                    self.phones.iter().filter(|p| p.tenant == tenant && p.device != device && !p.revoked).count();
                if left > 0 && !self.phones[n].revoked {
                    self.stats.revoked += 1;
                    self.tell(&format!("phone {n}: its device is revoked"));
                    self.server.revoke(tenant, device, self.now)?;
                    self.revoked.insert((tenant, device));
                    for phone in self.phones.iter_mut().filter(|p| p.device == device) {
                        phone.revoked = true;
                    }
                }
            }
            _ => match self.phones[n].deal_with_refusal(&mut self.dice) {
                Ok(what) => self.tell(&format!("phone {n}: a refusal is dealt with: {what}")),
                Err(e) => self.phone_failed(n, &e)?,
            },
        }
        Ok(())
    }

    /// The server is gone in the middle of what it did: nobody is answered.
    fn cut_off(&mut self) {
        for job in std::mem::take(&mut self.server.jobs) {
            self.reply(job.flight, None, Event::Failed(offline()));
        }
    }

    fn restore_server(&mut self) -> Step {
        if self.backups.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.backups.len());
        self.cut_off();
        self.stats.server_restores += 1;
        self.tell(&format!("the server is restored from its backup {at}"));
        self.server.restore(&self.backups[at])?;
        for (tenant, device) in self.revoked.clone() {
            self.server.revoke(tenant, device, self.now)?;
        }
        self.listen();
        Ok(())
    }

    fn clone_phone(&mut self, n: usize) -> Step {
        let seed = self.dice.any();
        let old = &self.phones[n];
        let disk = (old.disk.copy().map_err(text)?, old.album.copy());
        let (company, device, who) = (old.company, old.device, (old.tenant, old.staff));
        let (wrote, skew, refused) = (old.wrote.clone(), old.skew, old.heard_refused.clone());
        let mut twin = Phone::new(company, device, disk, None, who, seed, self.now, &mut self.dice).map_err(text)?;
        (twin.wrote, twin.skew, twin.heard_refused) = (wrote, skew, refused);
        twin.set_clock(self.now);
        self.stats.clones += 1;
        self.tell(&format!("phone {n}: cloned as phone {}", self.phones.len()));
        self.phones.push(twin);
        Ok(())
    }

    // ---- messages ----

    fn move_packet(&mut self) -> Step {
        let at = self.dice.below(self.packets.len());
        let packet = self.packets.swap_remove(at);
        self.deliver(packet)
    }

    fn deliver(&mut self, packet: Packet) -> Step {
        let calm = self.healing;
        match packet {
            Packet::Ask { phone, flight, mut ask } => {
                let lost = self.phones[phone].away || (!calm && self.dice.percent(6));
                if lost {
                    self.stats.requests_dropped += 1;
                    self.tell(&format!("request {flight} of phone {phone} is lost"));
                    self.reply(flight, Some(&ask), failed(Some(&ask), offline()));
                    return Ok(());
                }
                if !calm && self.dice.percent(2) {
                    let failure = match self.dice.below(3) {
                        0 => Failure { code: "busy".into(), status: 503, retry_after: Some(5_000) },
                        1 => Failure { code: "too_large".into(), status: 413, retry_after: None },
                        _ => Failure { code: "busy".into(), status: 429, retry_after: Some(1_000) },
                    };
                    self.tell(&format!("request {flight} of phone {phone}: {}", failure.code));
                    self.reply(flight, Some(&ask), failed(Some(&ask), failure));
                    return Ok(());
                }
                if !calm && self.dice.percent(5) {
                    self.stats.requests_doubled += 1;
                    self.packets.push(Packet::Ask { phone, flight, ask: ask.clone() });
                }
                if let (Ask::Sync(body), false) = (&mut ask, calm)
                    && self.dice.percent(10)
                {
                    self.stats.newer_messages += 1;
                    from_the_future(body);
                }
                self.serve(phone, flight, ask)
            }
            Packet::Reply { phone, flight, mut event } => {
                let awaited = self.phones[phone].flight.as_ref().is_some_and(|f| f.id == flight);
                if !awaited {
                    return Ok(());
                }
                let lost = self.phones[phone].away || (!calm && self.dice.percent(7));
                if lost && !matches!(event, Event::Failed(_) | Event::BlobFailed { .. }) {
                    self.stats.answers_dropped += 1;
                    self.tell(&format!("answer {flight} to phone {phone} is lost"));
                    let ask = self.phones[phone].flight.as_ref().map(|f| f.ask.clone());
                    event = failed(ask.as_ref(), offline());
                } else if let (Event::Answer(body), false) = (&mut event, calm) {
                    if self.dice.percent(10) {
                        self.stats.newer_messages += 1;
                        from_the_future(body);
                    } else if self.dice.percent(5) {
                        self.leaves(phone, body)?;
                    } else if self.dice.percent(2) {
                        self.stats.answers_damaged += 1;
                        self.tell(&format!("answer {flight} to phone {phone} is damaged"));
                        let at = self.dice.below(body.len());
                        body.truncate(at);
                    }
                }
                self.phone_event(phone, event)
            }
        }
    }

    /// A document leaves the phone's scope for a while: the next comparison brings it back.
    fn leaves(&mut self, n: usize, body: &mut Vec<u8>) -> Step {
        let Ok(mut answer) = minicbor_serde::from_slice::<SyncAnswer>(body) else { return Ok(()) };
        let kinds = [Kind::Visit, Kind::WorkOrder, Kind::Request, Kind::Customer];
        let kind = kinds[self.dice.below(kinds.len())];
        let held = self.phones[n].docs(kind).map_err(text)?;
        if let Some(doc) = self.dice.pick(&held)
            && !answer.docs.iter().any(|d| d.doc == doc)
        {
            self.stats.left += 1;
            self.tell(&format!("{doc} leaves the scope of phone {n}"));
            answer.left.push(doc);
            *body = minicbor_serde::to_vec(&answer).map_err(text)?;
        }
        Ok(())
    }

    fn reply(&mut self, flight: u64, ask: Option<&Ask>, event: Event) {
        let Some(phone) = self.flights.get(&flight).copied() else { return };
        let event = match (ask, event) {
            // Of whatever it asked.
            (None, Event::Failed(failure)) => {
                failed(self.phones[phone].flight.as_ref().filter(|f| f.id == flight).map(|f| &f.ask), failure)
            }
            (_, event) => event,
        };
        self.packets.push(Packet::Reply { phone, flight, event });
    }

    fn serve(&mut self, phone: usize, flight: u64, ask: Ask) -> Step {
        let (tenant, device) = (self.phones[phone].tenant, self.phones[phone].device);
        let ledger = self.server.ledger.clone();
        if let Ask::Sync(body) = ask {
            let whole = self.server.shelf.whole.keys().filter(|(t, _)| *t == tenant).map(|(_, blob)| *blob).collect();
            let done = self.server.begin(flight, server::sync(ledger, tenant, device, body, whole));
            return done.map_or(Ok(()), |done| self.served(flight, done));
        }
        let session = self.server.wait(server::who(&ledger, tenant, device));
        let event = match (session, &ask) {
            (Err(e), ask) => failed(Some(ask), server::failure(&e)),
            (Ok(_), Ask::Upload { blob, size, upload, offset, part }) => {
                self.server.take_blob(tenant, (*blob, *size), upload, *offset, part)
            }
            (Ok(_), Ask::Download { blob }) => self.server.give_blob(tenant, *blob),
            (Ok(_), Ask::Sync(_)) => return Ok(()),
        };
        if let Event::BlobProgress { upload, .. } = &event
            && upload.is_empty()
        {
            self.stats.photos += 1;
        }
        self.tell(&format!("blob request {flight} of phone {phone}"));
        self.reply(flight, Some(&ask), event);
        Ok(())
    }

    fn served(&mut self, flight: u64, done: Done) -> Step {
        match done {
            Done::Office(Ok(())) => self.tell(&format!("office command {flight} done")),
            Done::Office(Err(code)) => {
                self.tell(&format!("office command {flight}: {code}"));
                // A rule may refuse; the machine may not fail.
                if ["internal", "database", "damaged", "file", "moved", "malformed"].contains(&code.as_str()) {
                    return Err(format!("an office command failed: {code}"));
                }
            }
            Done::Sync(Ok(body)) => {
                self.tell_bytes(&format!("request {flight} served:"), &body);
                self.reply(flight, None, Event::Answer(body));
            }
            Done::Sync(Err(e)) => {
                self.tell(&format!("request {flight}: {}", e.code()));
                if e.status() == 500 {
                    return Err(format!("the server failed: {e}"));
                }
                self.reply(flight, None, Event::Failed(server::failure(&e)));
            }
        }
        Ok(())
    }

    /// A phone hears something, and does what its session says.
    fn phone_event(&mut self, n: usize, event: Event) -> Step {
        let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
        let answers = matches!(
            event,
            Event::Answer(_)
                | Event::Failed(_)
                | Event::BlobProgress { .. }
                | Event::BlobFailed { .. }
                | Event::BlobFetched { .. }
        );
        if let Event::Answer(body) = &event
            && let Ok(answer) = minicbor_serde::from_slice::<SyncAnswer>(body)
            && let Some(flight) = &self.phones[n].flight
        {
            self.stats.set_aside +=
                answer.verdicts.iter().filter(|v| matches!(v.fate, Fate::SetAside { .. })).count() as u64;
            for verdict in answer.verdicts.iter().filter(|v| flight.pushed.contains(&(v.doc, v.hash))) {
                match verdict.fate {
                    Fate::Accepted => acknowledged.push((verdict.doc, verdict.hash)),
                    Fate::SetAside { .. } => refused.push((verdict.doc, verdict.hash)),
                    _ => {}
                }
            }
            if self.loud {
                for v in &answer.verdicts {
                    eprintln!("              phone {n} hears of {} {}: {:?}", v.doc, &v.hash.to_string()[..8], v.fate);
                }
                for d in &answer.docs {
                    let heads = super::store::short(&d.sealed.heads);
                    eprintln!(
                        "              phone {n} gets {:?} {} at {heads}, {} changes",
                        d.kind,
                        d.doc,
                        d.changes.len()
                    );
                }
                if !answer.left.is_empty() || !answer.orders.is_empty() || answer.reconcile.is_some() {
                    eprintln!(
                        "              left {:?} orders {:?} reconcile {:?}",
                        answer.left, answer.orders, answer.reconcile
                    );
                }
            }
        }
        if answers {
            self.phones[n].flight = None;
        }
        self.phones[n].wait = None;
        let failed = matches!(&event, Event::Failed(failure) if failure.code != "device_revoked");
        let waited = if failed { self.phones[n].waiting().map_err(text)? } else { 0 };
        let effects = match self.phones[n].handle(event) {
            Ok(effects) => effects,
            Err(e) => return self.phone_failed(n, &e),
        };
        if failed && self.phones[n].waiting().map_err(text)? < waited {
            return Err(format!("phone {n}: what was sent in an exchange that failed waits no more"));
        }
        // The device has it in its file now: from here on it must never be lost.
        let tenant = self.phones[n].tenant;
        self.phones[n].heard_refused.extend(refused);
        self.stats.acknowledged += acknowledged.len() as u64;
        self.acks.extend(acknowledged.into_iter().map(|(doc, hash)| Ack { tenant, doc, hash }));
        for effect in effects {
            self.effect(n, effect)?;
        }
        Ok(())
    }

    fn effect(&mut self, n: usize, effect: Effect) -> Step {
        let ask = match effect {
            Effect::Send(body) => {
                self.tell_bytes(&format!("phone {n} asks ({}):", self.next_flight), &body);
                Ask::Sync(body)
            }
            Effect::Upload { blob, size, upload, offset, len } => {
                use onsite_core::store::Blobs as _;
                let part = match upload.is_empty() {
                    true => Vec::new(),
                    false => self.phones[n].album.read(blob, offset, len).map_err(text)?,
                };
                Ask::Upload { blob, size, upload, offset, part }
            }
            Effect::Download { blob, .. } => Ask::Download { blob },
            Effect::Wait { until } => {
                self.tell(&format!("phone {n} waits"));
                self.phones[n].wait = Some(until);
                return Ok(());
            }
            Effect::Done(report) => {
                self.tell(&format!("phone {n} is done: {report:?}"));
                self.phones[n].skipped = report.skipped;
                return Ok(());
            }
            Effect::Wipe => {
                self.tell(&format!("phone {n} is wiped"));
                if !self.phones[n].revoked {
                    return Err(format!("phone {n} was wiped without being revoked"));
                }
                self.phones[n].wiped = true;
                return Ok(());
            }
        };
        let id = self.next_flight;
        self.next_flight += 1;
        let pushed = match &ask {
            Ask::Sync(body) => {
                let request: SyncRequest = minicbor_serde::from_slice(body).map_err(text)?;
                let mut pushed = BTreeSet::new();
                for push in &request.push {
                    for change in &push.changes {
                        pushed.insert((push.doc, screen(change).map_err(text)?.hash));
                    }
                }
                pushed
            }
            _ => BTreeSet::new(),
        };
        self.phones[n].flight = Some(Flight { id, ask: ask.clone(), pushed });
        self.flights.insert(id, n);
        self.packets.push(net::Packet::Ask { phone: n, flight: id, ask });
        Ok(())
    }

    // ---- coming to rest ----

    /// Until nothing is under way any more, in the order it came.
    fn drain(&mut self) -> Step {
        let mut moves = 0;
        loop {
            self.pass(3);
            if !self.server.jobs.is_empty() {
                if let Some((flight, done)) = self.server.turn(0) {
                    self.served(flight, done)?;
                }
            } else if !self.packets.is_empty() {
                let packet = self.packets.remove(0);
                self.deliver(packet)?;
                moves += 1;
                if moves > EXCHANGES * self.phones.len() {
                    return Err("a sync does not end".into());
                }
            } else {
                return Ok(());
            }
        }
    }

    /// The network heals; everybody syncs until nothing changes any more.
    fn heal(&mut self) -> Step {
        self.tell("the network heals");
        self.healing = true;
        self.phones.iter_mut().for_each(Phone::mend);
        self.drain()?;
        let mut before = Vec::new();
        for round in 0..ROUNDS {
            for n in 0..self.phones.len() {
                if self.phones[n].wiped {
                    continue;
                }
                // Disks may fail a while longer than the network, in syncs that come to their end.
                if round < FRAIL && self.dice.percent(20) {
                    let left = 1 + self.dice.below(12);
                    self.tell(&format!("phone {n}: its commit number {left} from now will fail"));
                    self.phones[n].fail_commit(u8::try_from(left).unwrap_or(1));
                } else {
                    self.phones[n].mend();
                }
                if let Some(until) = self.phones[n].wait {
                    // Its own clock says when the wait is over.
                    let left = until.0 - (self.now + self.phones[n].skew);
                    self.pass(left.clamp(0, 86_400_000));
                }
                let event = if self.phones[n].wait.is_some() { Event::Tick } else { Event::Start };
                self.phone_event(n, event)?;
                self.drain()?;
            }
            let now = self.standing()?;
            if now == before && round > FRAIL {
                self.tell("all is at rest");
                return Ok(());
            }
            before = now;
        }
        Err(format!("no rest after {ROUNDS} rounds: {before:?}"))
    }

    /// What must stay the same once all is at rest.
    fn standing(&mut self) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for tenant in self.server.wait(self.server.ledger.storage().tenants()).map_err(text)? {
            all.push(format!("{} {}", tenant.head, tenant.epoch));
        }
        for phone in &self.phones {
            let conn = phone.disk.store.read();
            let account = outbox::account(conn).map_err(text)?;
            let state = meta::sync_state(conn).map_err(text)?;
            let digest = chunks::digest(conn).map_err(text)?;
            let blobs = onsite_core::store::blobs::to_fetch(conn, 1000).map_err(text)?.len();
            all.push(format!(
                "{} {} {} {} {} {:?} {blobs} {:?}",
                account.changes,
                account.blobs,
                account.documents,
                account.refused,
                state.cursor,
                &digest[..4],
                state.reconcile
            ));
        }
        Ok(all)
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
