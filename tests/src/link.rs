//! A network link between a device and its server that can be cut at any message.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How a message is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Nothing of it passes.
    Before,
    /// Its first half passes.
    Half,
}

#[derive(Default)]
struct State {
    target: Option<SocketAddr>,
    down: bool,
    /// Messages seen: a message begins where the direction changes.
    messages: usize,
    upward: Option<bool>,
    plan: Option<(usize, Cut)>,
    /// Cut once so many bytes have gone up from now on.
    upload_left: Option<usize>,
    cuts: usize,
    /// Bytes passed: up, down.
    passed: [u64; 2],
    open: Vec<TcpStream>,
}

/// A TCP proxy on the loopback.
pub struct Link {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Link {
    /// A link to a server.
    ///
    /// # Errors
    /// No port to be had.
    pub fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State { target: Some(target), ..State::default() }));
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || serve(client, &shared));
            }
        });
        Ok(Self { addr, state })
    }

    /// Where devices connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Leads to another server from now on.
    pub fn redirect(&self, target: SocketAddr) {
        self.state().target = Some(target);
        self.sever_open();
    }

    /// No network: open connections break, new ones fail.
    pub fn sever(&self) {
        self.state().down = true;
        self.sever_open();
    }

    /// The network is back, and nothing is planned.
    pub fn heal(&self) {
        let mut state = self.state();
        state.down = false;
        state.plan = None;
        state.upload_left = None;
    }

    /// Breaks what is open, so that the next message is the first of a new connection.
    pub fn sever_open(&self) {
        for stream in self.state().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts once, at the `n`th message from now (0: the next).
    pub fn cut_at(&self, n: usize, how: Cut) {
        self.sever_open();
        let mut state = self.state();
        state.upward = None;
        state.plan = Some((state.messages + n, how));
    }

    /// Cuts once, after so many bytes more have gone up.
    pub fn cut_upload_after(&self, bytes: usize) {
        self.state().upload_left = Some(bytes);
    }

    /// How often it was cut as planned.
    pub fn cuts(&self) -> usize {
        self.state().cuts
    }

    /// Bytes passed so far, both ways.
    pub fn bytes(&self) -> u64 {
        self.state().passed.iter().sum()
    }

    /// Bytes passed so far, up and down, HTTP headers and all.
    pub fn traffic(&self) -> (u64, u64) {
        let [up, down] = self.state().passed;
        (up, down)
    }

    /// Messages passed so far, both ways.
    pub fn messages(&self) -> usize {
        self.state().messages
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(client: TcpStream, state: &Arc<Mutex<State>>) {
    let target = {
        let state = lock(state);
        if state.down { None } else { state.target }
    };
    let Some(server) = target.and_then(|t| TcpStream::connect(t).ok()) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(c), Ok(s)) = (client.try_clone(), server.try_clone()) else { return };
    if let (Ok(a), Ok(b)) = (client.try_clone(), server.try_clone()) {
        lock(state).open.extend([a, b]);
    }
    let up = state.clone();
    let thread = thread::spawn(move || pump(c, s, true, &up));
    pump(server, client, false, state);
    let _ = thread.join();
}

/// Passes bytes one way until the end, or until the plan says to cut.
fn pump(mut from: TcpStream, mut to: TcpStream, upward: bool, state: &Mutex<State>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        let mut pass = n;
        let mut cut = false;
        {
            let mut state = lock(state);
            if state.upward != Some(upward) {
                if state.upward.is_some() {
                    state.messages += 1;
                }
                state.upward = Some(upward);
            }
            if let Some((at, how)) = state.plan
                && state.messages >= at
            {
                pass = if how == Cut::Half { n / 2 } else { 0 };
                cut = true;
                state.plan = None;
            }
            if upward && let Some(left) = state.upload_left.as_mut() {
                if *left < n {
                    pass = *left;
                    cut = true;
                    state.upload_left = None;
                } else {
                    *left -= n;
                }
            }
            if cut {
                state.cuts += 1;
            }
            state.passed[usize::from(!upward)] += pass as u64;
        }
        if to.write_all(&buffer[..pass]).is_err() || cut {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
