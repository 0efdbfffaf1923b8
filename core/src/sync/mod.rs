//! How edits travel: the wire, the session (sans-I/O) and the native client.

#[cfg(feature = "client")]
pub mod client;
pub mod device;
pub mod protocol;
pub mod session;
#[cfg(test)]
mod tests;
