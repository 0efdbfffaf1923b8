//! What commands say on standard output.
//!
//! A reader that has gone (`onsite device list | head -1`) is no error: the
//! rest is not for anybody. A full disk is one.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

/// Writes to standard output; a pipe whose reader has gone swallows it.
pub(crate) fn out(text: Arguments<'_>) -> io::Result<()> {
    match strict(text) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// As [`out`], but says where nobody reads any more: for what goes on until it is stopped.
pub(crate) fn strict(text: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(text)?;
    out.flush()
}

/// Writes a line to standard error, whether or not anybody reads it.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", one_line(text));
}

/// Line breaks would make one complaint look like several.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Prints a line; an `io::Result<()>`.
macro_rules! say {
    ($($arg:tt)*) => {
        $crate::term::out(format_args!("{}\n", format_args!($($arg)*)))
    };
}
pub(crate) use say;

/// A number of bytes for people: `812 B`, `3.4 KB`, `1.2 MB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 3] = ["KB", "MB", "GB"];
    if n < 1000 {
        return format!("{n} B");
    }
    // Tenths, so that no float rounds a size down to nothing.
    let mut tenths = n / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_a_unit_that_fits() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KB"),
            (3450, "3.4 KB"),
            (999_999, "999.9 KB"),
            (1_250_000, "1.2 MB"),
            (5_000_000_000, "5.0 GB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn a_complaint_is_one_line() {
        assert_eq!(one_line("a\n  b\n\nc"), "a; b; c");
    }
}
