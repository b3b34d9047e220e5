//! Bugs that are planted on purpose, one at a time, to prove that the tests notice them.
//!
//! `planted!("name")` stands where the bug would be and is `false`; only with the feature `planted-bugs`, which
//! no shipped crate turns on, it is whether that bug was chosen.

/// Says whether a bug is to be made here.
#[macro_export]
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_chosen($name)
    };
}

/// Says whether a bug is to be made here: never.
#[macro_export]
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

/// Says that a change has come this far: where a test kills the program.
#[macro_export]
#[cfg(feature = "planted-bugs")]
macro_rules! reached {
    ($name:literal) => {
        $crate::planted::reach($name)
    };
}

/// Says that a change has come this far: to nobody.
#[macro_export]
#[cfg(not(feature = "planted-bugs"))]
macro_rules! reached {
    ($name:literal) => {};
}

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{OnceLock, RwLock};

    static IS_ANY: AtomicBool = AtomicBool::new(false);
    static NAME: RwLock<String> = RwLock::new(String::new());
    static THEN: OnceLock<fn()> = OnceLock::new();

    /// Chooses the bug that is made from now on, in the whole process; `None` for none.
    pub fn choose(name: Option<&str>) {
        if let Ok(mut chosen) = NAME.write() {
            name.unwrap_or_default().clone_into(&mut chosen);
        }
        IS_ANY.store(name.is_some(), Ordering::Release);
    }

    /// Says whether this bug is chosen.
    pub fn is_chosen(name: &str) -> bool {
        IS_ANY.load(Ordering::Acquire) && NAME.read().is_ok_and(|chosen| *chosen == name)
    }

    /// Says what happens at the point that is chosen by its name; only the first time in a process.
    pub fn at_chosen(then: fn()) {
        let _ = THEN.set(then);
    }

    /// Does what happens at this point.
    pub fn reach(name: &str) {
        if is_chosen(name)
            && let Some(then) = THEN.get()
        {
            then();
        }
    }
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{at_chosen, choose, is_chosen, reach};
