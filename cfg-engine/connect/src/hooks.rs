//! The git hook that links code commits with the versions they ship.
//!
//! A commit says which ones in trailers of its message: `Cfg-Version: dev/agents:planner@7`. The hook never
//! makes a commit fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::ConnectError;

/// The trailer's name.
pub const TRAILER: &str = "Cfg-Version";

/// What an installation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookChange {
    /// The hook's file.
    pub file: PathBuf,
    /// Whether anything was written.
    pub changed: bool,
}

/// A commit of the repository around a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommit {
    /// Its name.
    pub sha: String,
    /// The values of its trailers, in order.
    pub versions: Vec<String>,
}

fn git(folder: &Path, args: &[&str], input: Option<&str>) -> Result<String, ConnectError> {
    let failed = |reason: String| ConnectError::Git { command: args.join(" "), reason };
    let mut command = Command::new("git");
    command.args(args).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        use std::io::Write as _;
        // A git that ends early says why by itself.
        drop(stdin.write_all(input.as_bytes()));
    }
    let done = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(failed(said.lines().next().unwrap_or("it failed").trim().to_owned()))
}

/// Returns the post-commit hook's file of the repository that a folder is in.
fn hook_file(root: &Path) -> Result<PathBuf, ConnectError> {
    let path = git(root, &["rev-parse", "--git-path", "hooks"], None)?;
    Ok(root.join(path.trim()).join("post-commit"))
}

fn marks(env: &str) -> (String, String) {
    (format!("# >>> cfg hooks, env {env} >>>"), format!("# <<< cfg hooks, env {env} <<<"))
}

/// Returns the text without the block of an env.
fn without_block(text: &str, env: &str) -> String {
    let (first, last) = marks(env);
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines() {
        if line == first {
            inside = true;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if line == last {
            inside = false;
        }
    }
    out
}

/// Installs the post-commit hook for an env, beside whatever the hook does already. Again is fine.
///
/// # Errors
///
/// [`ConnectError::Git`] outside a repository; [`ConnectError::ForeignHook`] where the hook is no shell script.
pub fn install_hook(root: &Path, config_file: &Path, env: &str) -> Result<HookChange, ConnectError> {
    let file = hook_file(root)?;
    let there = read(&file)?;
    if let Some(first) = there.as_deref().and_then(|text| text.lines().next())
        && !(first.starts_with("#!") && first.trim_end().ends_with("sh"))
    {
        return Err(ConnectError::ForeignHook { file });
    }
    // A hook runs in the top folder of the working tree.
    let prefix = git(root, &["rev-parse", "--show-prefix"], None)?;
    let name = config_file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let config = format!("{}{name}", prefix.trim_end_matches('\n')).replace('\'', r"'\''");
    let (first, last) = marks(env);
    let mut text = there.as_deref().map_or_else(|| "#!/bin/sh\n".to_owned(), |text| without_block(text, env));
    text.push_str(&format!(
        "{first}\nif command -v cfg >/dev/null 2>&1; then cfg hooks run --env '{env}' --config-file '{config}' || true; fi\n{last}\n"
    ));
    if there.as_deref() == Some(text.as_str()) {
        return Ok(HookChange { file, changed: false });
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|e| ConnectError::file("make", folder, &e))?;
    }
    std::fs::write(&file, text).map_err(|e| ConnectError::file("write", &file, &e))?;
    make_executable(&file)?;
    Ok(HookChange { file, changed: true })
}

/// Takes the hook of an env out again; what else the hook does stays.
///
/// # Errors
///
/// As [`install_hook`].
pub fn uninstall_hook(root: &Path, env: &str) -> Result<HookChange, ConnectError> {
    let file = hook_file(root)?;
    let Some(there) = read(&file)? else { return Ok(HookChange { file, changed: false }) };
    let text = without_block(&there, env);
    if text == there {
        return Ok(HookChange { file, changed: false });
    }
    let is_empty = text.lines().all(|line| line.trim().is_empty() || line.starts_with("#!"));
    let written = if is_empty { std::fs::remove_file(&file) } else { std::fs::write(&file, text) };
    written.map_err(|e| ConnectError::file("write", &file, &e))?;
    Ok(HookChange { file, changed: true })
}

/// Reads a commit's name and the versions that its trailers name.
///
/// # Errors
///
/// [`ConnectError::Git`].
pub fn read_commit(root: &Path, commit: &str) -> Result<GitCommit, ConnectError> {
    let name = format!("{commit}^{{commit}}");
    let sha = git(root, &["rev-parse", "--verify", "--end-of-options", &name], None)?.trim().to_owned();
    let message = git(root, &["log", "-1", "--format=%B", &sha], None)?;
    let trailers = git(root, &["interpret-trailers", "--parse"], Some(&message))?;
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case(TRAILER).then(|| value.trim().to_owned())
    };
    Ok(GitCommit { sha, versions: trailers.lines().filter_map(value).collect() })
}

fn read(file: &Path) -> Result<Option<String>, ConnectError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ConnectError::file("read", file, &e)),
    }
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<(), ConnectError> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .map_err(|e| ConnectError::file("make executable", file, &e))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<(), ConnectError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_of_somebody_else_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path();
        git(root, &["init", "--quiet"], None).expect("git");
        let file = hook_file(root).expect("a file");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, "#!/bin/bash\necho mine\n").expect("a hook");
        let config = root.join(".cfg.toml");
        assert!(install_hook(root, &config, "dev").expect("installed").changed);
        assert!(!install_hook(root, &config, "dev").expect("again").changed);
        assert!(install_hook(root, &config, "stage").expect("another env").changed);
        let text = std::fs::read_to_string(&file).expect("a hook");
        assert_eq!(text.matches("cfg hooks run").count(), 2, "{text}");
        assert!(uninstall_hook(root, "dev").expect("gone").changed);
        assert!(uninstall_hook(root, "stage").expect("gone").changed);
        assert_eq!(std::fs::read_to_string(&file).expect("a hook"), "#!/bin/bash\necho mine\n");
        std::fs::write(&file, "#!/usr/bin/python3\n").expect("a hook");
        assert_eq!(install_hook(root, &config, "dev").expect_err("foreign").code(), "foreign_hook");
        std::fs::remove_file(&file).expect("gone");
        install_hook(root, &config, "dev").expect("installed");
        uninstall_hook(root, "dev").expect("gone");
        assert!(!file.exists());
    }
}
