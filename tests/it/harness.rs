//! A gate under test: the real program, a lenient recording upstream, a journal in a directory of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Resource;
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

/// The token that requests of the tests change.
pub(crate) const TOKEN: &str = "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea";
/// The secret part of the credential that requests of the tests carry.
pub(crate) const SECRET: &str = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
/// A body that every shipped policy lets pass.
pub(crate) const GOOD: &str = r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
/// A body that the shipped policies refuse.
pub(crate) const BAD: &str = r#"{"scopes":["WriteConfig"]}"#;

/// One request as the upstream received it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The first line, as it came.
    pub line: String,
    /// Name (lower case) and value.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How the upstream answers: a function of what it received, giving the raw bytes of a response.
pub(crate) type Answer = dyn Fn(&Seen) -> Vec<u8> + Send + Sync;

/// An upstream that takes anything, keeps everything, and understands nothing.
pub(crate) struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// Answers 204 to every request.
    pub(crate) fn lenient() -> Self {
        Self::answering(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())
    }

    /// Answers as a function says; but to whoever looks a token up it tells one of its own, and does not count
    /// that among what it has seen.
    pub(crate) fn answering(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(answer, true, true)
    }

    /// The same, and keeps nothing of what it has seen: for more than anybody could keep.
    pub(crate) fn forgetting(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(answer, true, false)
    }

    /// The same for everything, lookups too.
    pub(crate) fn forgetting_all(
        answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::start(answer, false, false)
    }

    /// Answers everything as a function says, lookups too.
    pub(crate) fn answering_all(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(answer, false, true)
    }

    fn start(
        answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
        tells_tokens: bool,
        keeps: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Answer> = Arc::new(answer);
        let kept = keeps.then(|| seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || {
                    serve(&stream, kept.as_deref(), answer.as_ref(), tells_tokens);
                });
            }
        });
        Self { address, seen }
    }

    /// Everything that arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, kept: Option<&Mutex<Vec<Seen>>>, answer: &Answer, tells_tokens: bool) {
    let mut reader = BufReader::new(stream);
    while let Some(seen) = read_message(&mut reader) {
        if tells_tokens && is_lookup(&seen.line) {
            let mut writer = stream;
            if writer.write_all(token().as_bytes()).is_err() {
                return;
            }
            continue;
        }
        if let Some(kept) = kept {
            kept.lock().unwrap().push(seen.clone());
        }
        let mut writer = stream;
        if writer.write_all(&answer(&seen)).is_err() {
            return;
        }
    }
}

/// Whether a request asks about one token: every change of one is preceded by that.
pub(crate) fn is_lookup(line: &str) -> bool {
    let path = line.split(' ').nth(1).unwrap_or_default();
    let collection = path.rsplit('/').nth(1).unwrap_or_default();
    line.starts_with("GET ") && matches!(collection, "tokens" | "apiTokens") && !path.contains('%')
}

/// The answer to it: a token that has what [`GOOD`] asks for, and may lose anything.
pub(crate) fn token() -> String {
    let body = r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one HTTP/1.1 message; a body by its length, or in chunks.
pub(crate) fn read_message(reader: &mut impl BufRead) -> Option<Seen> {
    let line = read_line(reader)?;
    let mut headers = Vec::new();
    loop {
        let header = read_line(reader)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':')?;
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen {
        line,
        headers,
        body: Vec::new(),
    };
    if let Some(length) = seen
        .header("content-length")
        .and_then(|text| text.parse::<usize>().ok())
    {
        seen.body.resize(length, 0);
        reader.read_exact(&mut seen.body).ok()?;
    } else if seen
        .header("transfer-encoding")
        .is_some_and(|value| value.contains("chunked"))
    {
        loop {
            let size = read_line(reader)?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            let mut chunk = vec![0; size];
            reader.read_exact(&mut chunk).ok()?;
            seen.body.extend(chunk);
            read_line(reader)?;
            if size == 0 {
                break;
            }
        }
    }
    Some(seen)
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    if line.pop() != Some(b'\n') {
        return None;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// What the gate answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The message of Dynatrace's error envelope.
    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// The program, running. It is killed when this is dropped.
pub(crate) struct Gate {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub child: Child,
    pub directory: TempDir,
    log: Arc<Mutex<String>>,
}

/// Starts a gate with the shipped policies before `upstream`.
pub(crate) fn gate(upstream: SocketAddr) -> Gate {
    Gate::start(tempfile::tempdir().unwrap(), upstream, &[])
}

impl Gate {
    /// Starts the program with its journal below `directory`, and more arguments.
    pub(crate) fn start(directory: TempDir, upstream: SocketAddr, arguments: &[&str]) -> Self {
        let mut command = serving(&directory);
        command
            .arg("--upstream")
            .arg(format!("http://{upstream}"))
            .args(arguments);
        if !arguments.contains(&"--policies") {
            command.arg("--policies").arg(policies());
        }
        Self::spawn(directory, command)
    }

    /// Starts any command that serves and logs as JSON, and waits until it says where.
    pub(crate) fn spawn(directory: TempDir, mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let addresses = loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert!(
                !line.is_empty(),
                "the gate did not start: {}",
                log.lock().unwrap()
            );
            log.lock().unwrap().push_str(&line);
            let record: Value = serde_json::from_str(&line).unwrap_or_default();
            if record["message"] == "serving" {
                let address = |name: &str| record[name].as_str().unwrap().parse().unwrap();
                break (address("listen"), address("admin"));
            }
        };
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self {
            address: addresses.0,
            admin: addresses.1,
            child,
            directory,
            log,
        }
    }

    /// Starts a command that serves at these addresses (clients, operators), and does not listen to what it says.
    pub(crate) fn spawn_at(
        directory: TempDir,
        mut command: Command,
        stderr: Stdio,
        [address, admin]: [SocketAddr; 2],
    ) -> Self {
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn();
        let mut child = child.unwrap();
        // Until then a descriptor of it is ours too.
        drop(command);
        eventually("it serves", || {
            assert!(child.try_wait().unwrap().is_none(), "the gate has ended");
            TcpStream::connect(admin).ok()
        });
        // The socket is there before the journal, and waits with the answer.
        exchange(admin, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        Self {
            address,
            admin,
            child,
            directory,
            log: Arc::default(),
        }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// All records, oldest first.
    pub(crate) fn records(&self) -> Vec<Value> {
        records(&self.journal())
    }

    /// Of these, the decisions.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        let records = self.records().into_iter();
        records
            .filter(|record| record["kind"] == "decision")
            .collect()
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// One request with the tests' credential; `body` makes it JSON.
    pub(crate) fn send(&self, method: &str, target: &str, body: &str) -> Answered {
        self.raw(request(method, target, body))
    }

    /// Bytes as they are, on a connection of their own.
    pub(crate) fn raw(&self, bytes: impl AsRef<[u8]>) -> Answered {
        exchange(self.address, bytes.as_ref())
    }

    /// Sends a signal by name (`TERM`, `KILL`, `STOP`, …).
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Limits the running program, or frees it of a limit. Only the soft one: everybody may raise it again.
    #[cfg(target_os = "linux")]
    pub(crate) fn limit(&self, resource: Resource, most: Option<u64>) {
        let limit = Rlimit {
            current: most,
            maximum: getrlimit(resource).maximum,
        };
        prlimit(Some(Pid::from_child(&self.child)), resource, limit).unwrap();
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn limit(&self, _: Resource, _: Option<u64>) {
        panic!("only Linux limits a program that runs");
    }

    /// Ends the program as a crash would, and gives back the directory for the next one.
    pub(crate) fn crash(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// What `/readyz` answers: status and body.
    pub(crate) fn ready(&self) -> Answered {
        exchange(self.admin, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    /// Waits for the program to end by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Gate {
    /// Ends the program, and looks through everything it has written: promise 4 is part of every test.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            return;
        }
        let secret = SECRET.split_at(20).0;
        assert!(
            !self.log().contains(secret),
            "a secret in the log: {}",
            self.log()
        );
        for entry in std::fs::read_dir(self.journal())
            .into_iter()
            .flatten()
            .flatten()
        {
            let content = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&content);
            assert!(
                !text.contains(secret),
                "a secret in {}",
                entry.path().display()
            );
        }
    }
}

/// The bytes of one request with the tests' credential; `body` makes it JSON.
fn request(method: &str, target: &str, body: &str) -> String {
    let media_type = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let credential = format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {credential}\r\n{media_type}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The bytes of a change of the tests' token, for a connection that a test handles itself.
pub(crate) fn put(body: &str) -> String {
    request("PUT", TOKEN, body)
}

/// The simulator of the token API, running as a program of its own. It is killed when this is dropped.
pub(crate) struct Simulator {
    pub address: SocketAddr,
    pub(crate) child: Child,
}

impl Simulator {
    /// The whole token that it knows under this name.
    pub(crate) fn secret(name: &str) -> &'static str {
        let seed = dtgate::simulate::seeds::ALL
            .iter()
            .find(|seed| seed.name == name);
        seed.unwrap().secret
    }

    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One that sends every request to a page that answers 200.
    pub(crate) fn redirecting() -> Self {
        Self::with(&["--redirect-to-login"])
    }

    fn with(arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["simulate", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        let (_, address) = line.trim().rsplit_once("http://").unwrap();
        let address = address.parse().unwrap();
        // It prints more; whoever closed the pipe would end it.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        Self { address, child }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A request as a client sent it, from `tests/data`.
pub(crate) fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(format!("{name}.http"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One exchange on a new connection.
pub(crate) fn exchange(address: SocketAddr, bytes: &[u8]) -> Answered {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut reader = BufReader::new(stream);
    read_answer(&mut reader)
        .unwrap_or_else(|| panic!("no answer to {:?}", String::from_utf8_lossy(bytes)))
}

/// A connection that comes from an address of loopback: all of 127.0.0.0/8 is this machine.
pub(crate) fn from(address: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

pub(crate) fn read_answer(reader: &mut impl BufRead) -> Option<Answered> {
    let message = read_message(reader)?;
    Some(Answered {
        status: message.line.split(' ').nth(1)?.parse().ok()?,
        body: String::from_utf8_lossy(&message.body).into_owned(),
        headers: message.headers,
    })
}

/// The records of a journal.
pub(crate) fn records(journal: &Path) -> Vec<Value> {
    let mut lines = dtgate::audit::lines::Lines::new(journal);
    let lines = std::iter::from_fn(|| lines.next_line().unwrap());
    lines
        .filter_map(|line| serde_json::from_slice(&line.bytes).ok())
        // They come when their time has come, and tell nothing of requests: `checkpoints.rs` looks at them.
        .filter(|record: &Value| record["kind"] != "checkpoint")
        .collect()
}

/// Has `dtgate audit verify` prove the chain, and gives its report; panics with its words when it does not hold.
pub(crate) fn verify(journal: &Path) -> Value {
    let output = program()
        .args(["audit", "verify", "--format", "json", "--journal"])
        .arg(journal)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    verdict["report"].clone()
}

/// The program under test: the one that Cargo has built, unless `DTGATE_PROGRAM` names another.
pub(crate) fn program() -> Command {
    let named = std::env::var_os("DTGATE_PROGRAM");
    Command::new(named.unwrap_or_else(|| env!("CARGO_BIN_EXE_dtgate").into()))
}

/// A gate on free ports that logs as JSON, with its journal below `directory`; what it is for is to be added.
pub(crate) fn serving(directory: &TempDir) -> Command {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--log", "json", "--journal"])
        .arg(directory.path().join("journal"));
    command
}

/// The shipped policies.
pub(crate) fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The files right in a folder, by name.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

/// What was done with a file of a running gate, which renames and removes some at any time.
pub(crate) fn unless_gone<T>(done: std::io::Result<T>) -> Option<T> {
    match done {
        Ok(done) => Some(done),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

/// A folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Waits, without sleeping longer than needed, until something holds; panics after two minutes: the soak test may have every core.
pub(crate) fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "never: {what}");
        std::thread::yield_now();
    }
}
