//! Keeps the locks of our SQLite apart from those of another SQLite in the same process.
//!
//! A Python or Node program may have a second copy of SQLite: the `sqlite3` module, better-sqlite3. On Unix a
//! POSIX lock belongs to the process, so two copies do not see each other's, and whichever closes a file
//! releases the other's locks on it (<https://sqlite.org/howtocorrupt.html>, 2.2.1). The last connection of
//! one copy then takes itself for the last of all and removes a log that the other still writes.
//!
//! On Linux a lock can belong to an open file instead. [`install`] makes our copy use such locks: they hold
//! against everybody, and nobody else's `close` releases them. And our copy never closes a database file
//! that is still there, but keeps it for the next connection, so that it does not release the locks of the
//! other copy either. Elsewhere [`install`] does nothing.

#[cfg(target_os = "linux")]
mod linux;

/// Makes this process's copy of SQLite use locks of its own. Has to be called before the first database is
/// opened; further calls do nothing.
pub fn install() {
    #[cfg(target_os = "linux")]
    linux::install();
}
