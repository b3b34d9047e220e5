//! The system calls of SQLite's Unix layer, replaced where they lock, open and close.

use std::collections::HashMap;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use libc::{c_char, c_int, c_void, dev_t, ino_t, mode_t};
use rusqlite::ffi;

/// A file that locks were taken on.
struct Locked {
    /// Its open file description owns the locks of all our connections, as the process would own POSIX locks.
    owner: c_int,
    /// What SQLite has closed: kept for the next connection.
    parked: Vec<c_int>,
}

type Inode = (dev_t, ino_t);

#[derive(Default)]
struct Files {
    /// A forked child shares the open files of its parent, and must not share their locks.
    process: u32,
    locked: HashMap<Inode, Locked>,
}

static FILES: Mutex<Option<Files>> = Mutex::new(None);
static INSTALLED: Once = Once::new();

type SystemCall = unsafe extern "C" fn();

pub(crate) fn install() {
    INSTALLED.call_once(|| {
        let replacements: [(&CStr, SystemCall); 3] = [
            // SAFETY: SQLite calls each through a pointer of the type that the function has. `fcntl` is
            // variadic there, which on Linux passes an argument as a plain call does.
            (c"fcntl", unsafe { std::mem::transmute::<*const (), SystemCall>(fcntl as *const ()) }),
            // SAFETY: as above.
            (c"open", unsafe { std::mem::transmute::<*const (), SystemCall>(open as *const ()) }),
            // SAFETY: as above.
            (c"close", unsafe { std::mem::transmute::<*const (), SystemCall>(close as *const ()) }),
        ];
        // SAFETY: null asks for the default layer, which lives as long as the process.
        let vfs = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        // SAFETY: not null, and then valid.
        let Some(set) = unsafe { vfs.as_ref() }.and_then(|vfs| vfs.xSetSystemCall) else { return };
        for (name, call) in replacements {
            // SAFETY: the method of that layer, with a name that it knows.
            unsafe { set(vfs, name.as_ptr(), Some(call)) };
        }
    });
}

/// Returns the files of this process.
fn files() -> MutexGuard<'static, Option<Files>> {
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if files.as_ref().is_none_or(|files| files.process != process) {
        for locked in files.take().into_iter().flat_map(|files| files.locked.into_values()) {
            for fd in locked.parked.into_iter().chain([locked.owner]) {
                // SAFETY: ours, and of no use to this child.
                unsafe { libc::close(fd) };
            }
        }
        *files = Some(Files { process, locked: HashMap::new() });
    }
    files
}

/// Returns which file an open one is, and how many names it has.
fn inode(fd: c_int) -> Option<(Inode, bool)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: filled where the call succeeds.
    let stat = unsafe { (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| stat.assume_init()) }?;
    Some(((stat.st_dev, stat.st_ino), stat.st_nlink > 0))
}

fn can_write(fd: c_int) -> bool {
    // SAFETY: asks for flags.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags & libc::O_ACCMODE == libc::O_RDWR
}

/// Opens the description that owns the locks on the file of `fd`.
fn owner_for(fd: c_int) -> c_int {
    if !can_write(fd) {
        let path = format!("/proc/self/fd/{fd}\0");
        // SAFETY: a text that ends with zero.
        let owner = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDWR | libc::O_CLOEXEC) };
        if owner >= 0 {
            return owner;
        }
    }
    // SAFETY: duplicates an open file; above standard input, output and error.
    unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) }
}

/// Whose lock a call is about: as SQLite means it, the process's.
unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int {
    let own = match command {
        libc::F_SETLK => libc::F_OFD_SETLK,
        libc::F_SETLKW => libc::F_OFD_SETLKW,
        libc::F_GETLK => libc::F_OFD_GETLK,
        // SAFETY: handed on as it came.
        _ => return unsafe { libc::fcntl(fd, command, argument) },
    };
    let owner = inode(fd).map(|(inode, _)| {
        let mut files = files();
        let locked = &mut files.get_or_insert_default().locked;
        locked.entry(inode).or_insert_with(|| Locked { owner: owner_for(fd), parked: Vec::new() }).owner
    });
    let Some(owner) = owner.filter(|owner| *owner >= 0) else {
        // SAFETY: handed on as it came.
        return unsafe { libc::fcntl(fd, command, argument) };
    };
    // SAFETY: with these commands the argument is a lock.
    if let Some(lock) = unsafe { argument.cast::<libc::flock>().as_mut() } {
        lock.l_pid = 0;
    }
    // SAFETY: an open file and a lock.
    let done = unsafe { libc::fcntl(owner, own, argument) };
    if done == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        // A system without such locks: as it was without us.
        // SAFETY: handed on as it came.
        return unsafe { libc::fcntl(fd, command, argument) };
    }
    done
}

/// Opens a file, or takes one that was kept.
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    if flags & (libc::O_EXCL | libc::O_TRUNC) == 0 {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: a path as SQLite gave it; filled where the call succeeds.
        let stat = unsafe { (libc::stat(path, stat.as_mut_ptr()) == 0).then(|| stat.assume_init()) };
        if let Some(stat) = stat {
            let mut files = files();
            let locked = &mut files.get_or_insert_default().locked;
            if let Some(locked) = locked.get_mut(&(stat.st_dev, stat.st_ino)) {
                let wanted = flags & libc::O_ACCMODE == libc::O_RDWR;
                if let Some(at) = locked.parked.iter().position(|fd| can_write(*fd) == wanted) {
                    return locked.parked.swap_remove(at);
                }
            }
        }
    }
    // SAFETY: handed on as it came.
    unsafe { libc::open(path, flags, mode as mode_t) }
}

/// Keeps a database file open for the next connection; closes everything else.
unsafe extern "C" fn close(fd: c_int) -> c_int {
    if let Some((inode, has_name)) = inode(fd) {
        let mut files = files();
        let known = &mut files.get_or_insert_default().locked;
        if let Some(locked) = known.get_mut(&inode) {
            release(locked.owner);
            if has_name {
                locked.parked.push(fd);
                return 0;
            }
            // It was deleted: nobody opens it again, and nobody else holds locks on it.
            if let Some(locked) = known.remove(&inode) {
                for fd in locked.parked.into_iter().chain([locked.owner]) {
                    // SAFETY: ours.
                    unsafe { libc::close(fd) };
                }
            }
        }
    }
    // SAFETY: handed on as it came.
    unsafe { libc::close(fd) }
}

/// Gives up all locks on a file, as closing it does.
fn release(owner: c_int) {
    // SAFETY: plain numbers, for which zero is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_UNLCK as _;
    lock.l_whence = libc::SEEK_SET as _;
    // SAFETY: an open file and a lock over all of it.
    unsafe { libc::fcntl(owner, libc::F_OFD_SETLK, &raw mut lock) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use rusqlite::Connection;

    use super::*;

    /// Returns whether a POSIX lock of this process, as another copy of SQLite takes it, would be refused.
    fn held(file: &File) -> bool {
        // SAFETY: plain numbers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::F_WRLCK as _;
        // SAFETY: an open file and a lock.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) }, 0);
        c_int::from(lock.l_type) != libc::F_UNLCK
    }

    fn open_files() -> usize {
        std::fs::read_dir("/proc/self/fd").expect("open files").count()
    }

    /// One test: what it counts belongs to the process.
    #[test]
    fn locks_hold_against_this_process_and_outlive_its_closes() {
        install();
        install();
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("app.db");
        let one = Connection::open(&path).expect("a database");
        one.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)").expect("a table");
        let other = || File::options().read(true).write(true).open(&path).expect("the file");
        let look = other();
        assert!(held(&look), "a connection in WAL mode holds a lock that this process sees");
        drop(other());
        assert!(held(&look), "closing the file elsewhere in the process releases nothing");

        // Connections of ours share, and work beside each other.
        let two = Connection::open(&path).expect("a second connection");
        two.busy_timeout(std::time::Duration::ZERO).expect("a timeout");
        one.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").expect("a write");
        assert!(two.execute_batch("BEGIN IMMEDIATE").is_err(), "one writer at a time");
        one.execute_batch("COMMIT").expect("a commit");
        let count = |conn: &Connection| conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(count(&two).expect("a count"), 1);
        drop(one);
        two.execute_batch("INSERT INTO t VALUES (2)").expect("a write");
        assert!(held(&look));
        drop(two);
        assert!(!held(&look), "the last connection leaves nothing locked");

        // What is kept open does not grow.
        let again = || {
            let conn = Connection::open(&path).expect("a database");
            conn.execute_batch("INSERT INTO t VALUES (3)").expect("a write");
        };
        (0..5).for_each(|_| again());
        let before = open_files();
        (0..50).for_each(|_| again());
        assert!(open_files() <= before + 1, "{} open files, {before} before", open_files());

        // A journal instead of a log: locks come and go with every transaction.
        let journal = Connection::open(dir.path().join("plain.db")).expect("a database");
        journal.execute_batch("CREATE TABLE t (n)").expect("a table");
        let reader = Connection::open(dir.path().join("plain.db")).expect("a database");
        for _ in 0..20 {
            reader.execute_batch("BEGIN; SELECT * FROM t").expect("a read");
            let _ = count(&journal).expect("a count");
            reader.execute_batch("COMMIT").expect("the end of it");
            journal.execute_batch("INSERT INTO t VALUES (1)").expect("a write");
        }
        assert_eq!(count(&reader).expect("a count"), 20);
    }
}
