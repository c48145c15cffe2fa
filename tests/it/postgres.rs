//! A `PostgreSQL` of the tests' own: on a free port of loopback, in a directory of its own, gone with the test.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of the role `dtgate`, which may do everything.
pub(crate) const PASSWORD: &str = "pg-Wachs-Eimer-7";

/// A server, until this is dropped, or the test's process is gone.
pub(crate) struct Postgres {
    directory: PathBuf,
    pub(crate) port: u16,
    /// Ends the server when its input ends, which is so however the test ends.
    keeper: Child,
}

/// A database.
pub(crate) struct Database<'s> {
    pub(crate) server: &'s Postgres,
    pub(crate) name: String,
}

/// A database on a server that all tests of this process share.
pub(crate) fn database() -> Database<'static> {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).database()
}

impl Postgres {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One that has more in its configuration.
    pub(crate) fn with(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        if rustix::process::getuid().is_root() {
            chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = directory.join("data");
        let password = directory.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        done(
            tool("initdb")
                .args(["--username", "dtgate", "--auth", "scram-sha-256"])
                .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"])
                .arg("--pwfile")
                .arg(&password)
                .arg("--pgdata")
                .arg(&data),
        );
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nshared_buffers = '16MB'\n\
             max_connections = 40\njit = off\n{settings}\n"
        );
        let mut config = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        config.push_str(&settings);
        std::fs::write(data.join("postgresql.conf"), config).unwrap();
        let mut keeper = unprivileged("sh");
        keeper
            .args(["-c", KEEP, "sh"])
            .arg(tool_path("pg_ctl"))
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut server = Self {
            directory,
            port: 0,
            keeper: keeper.spawn().unwrap(),
        };
        // Somebody else may take the port meanwhile.
        let mut left = 5;
        while !server.is_started_at(free_port()) {
            left -= 1;
            assert!(left > 0, "PostgreSQL does not start: {}", server.log());
        }
        server
    }

    fn is_started_at(&mut self, port: u16) -> bool {
        self.port = port;
        let mut start = tool("pg_ctl");
        start
            .args(["start", "--wait", "--timeout", "120", "--silent", "--log"])
            .arg(self.directory.join("log"))
            .arg("--pgdata")
            .arg(self.directory.join("data"))
            .arg("--options")
            .arg(format!("-p {port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        start.status().unwrap().success()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Ends it as a crash would, or as an operator does (`fast`).
    pub(crate) fn stop(&self, mode: &str) {
        done(
            tool("pg_ctl")
                .args(["stop", "--wait", "--silent", "--mode", mode, "--pgdata"])
                .arg(self.directory.join("data")),
        );
    }

    /// Starts it again, where it was.
    pub(crate) fn start_again(&mut self) {
        let port = self.port;
        assert!(self.is_started_at(port), "{}", self.log());
    }

    /// Has it read its files again.
    pub(crate) fn put(&self, name: &str, content: &str) {
        let path = self.directory.join("data").join(name);
        std::fs::write(&path, content).unwrap();
        if rustix::process::getuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    }

    pub(crate) fn database(&self) -> Database<'_> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = Database {
            server: self,
            name: "postgres".to_owned(),
        };
        server.sql(&format!("CREATE DATABASE {name}"));
        Database { server: self, name }
    }

    /// One that is there, after the server was away.
    pub(crate) fn named(&self, name: &str) -> Database<'_> {
        Database {
            server: self,
            name: name.to_owned(),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

impl Database<'_> {
    /// As the configuration has it.
    pub(crate) fn url(&self) -> String {
        self.url_of("dtgate")
    }

    pub(crate) fn url_of(&self, role: &str) -> String {
        format!(
            "postgres://{role}@127.0.0.1:{}/{}",
            self.server.port, self.name
        )
    }

    /// What the server says, in lines, with `|` between columns.
    pub(crate) fn sql(&self, text: &str) -> String {
        self.asked(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The same, or why it does not.
    pub(crate) fn asked(&self, text: &str) -> Result<String, String> {
        let output = tool("psql")
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"])
            .args(["--set", "ON_ERROR_STOP=1", "--username", "dtgate"])
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &self.server.port.to_string(),
            ])
            .args(["--dbname", &self.name, "--command", text])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout).trim_end().to_owned())
        } else {
            Err(text(output.stderr))
        }
    }

    /// The section of a configuration, with its password in a file below `directory`.
    pub(crate) fn section(&self, directory: &Path) -> String {
        let file = directory.join("store-password");
        std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
        format!(
            "[store]\nurl = \"{}\"\npassword_file = \"{}\"\n",
            self.url(),
            file.display()
        )
    }

    /// How many rows the table of records has.
    pub(crate) fn count(&self) -> u64 {
        let count = self.asked("SELECT count(*) FROM dtgate.record");
        // There is none before the first gate has come.
        count.map_or(0, |count| count.parse().unwrap())
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program of `PostgreSQL`, as somebody who is not root: as root it does not start.
fn tool(name: &str) -> Command {
    unprivileged(tool_path(name))
}

fn unprivileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}

/// Where Debian has it, the newest one; or wherever it can be found.
fn tool_path(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// Waits for the end of its input, ends the server, and removes all of it.
const KEEP: &str =
    r#"cat >/dev/null; "$1" stop --wait --silent --mode immediate --pgdata "$2/data"; rm -rf "$2""#;
const NOBODY: u32 = 65534;
