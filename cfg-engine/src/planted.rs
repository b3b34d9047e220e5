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

#[cfg(feature = "planted-bugs")]
mod chosen {
    use std::sync::RwLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static IS_ANY: AtomicBool = AtomicBool::new(false);
    static NAME: RwLock<String> = RwLock::new(String::new());

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
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{choose, is_chosen};
