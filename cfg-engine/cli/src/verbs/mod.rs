//! One file per verb: its flags, one call of the engine, what is printed.

pub(crate) mod adopt;
pub(crate) mod commit;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod fsck;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod manual;
pub(crate) mod restore;
pub(crate) mod rm;
pub(crate) mod secret_flag;
pub(crate) mod set;
pub(crate) mod show;
pub(crate) mod stage;
pub(crate) mod status;
pub(crate) mod version;
pub(crate) mod whoami;
