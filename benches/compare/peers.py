"""The peers: started in front of the upstream, seen to do their job, and ended.

Each is started anew for every measurement, so that its peak memory belongs to that measurement and nobody inherits
another's state. Knows nothing of cases and of how load is made.
"""

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import urllib.request
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import configs
from load import CLIENT
from process import LOAD_CORE, Failed, Process, free_port, wait_until
from tools import HERE, ROOT

# What each needs. `direct` is the upstream itself.
NEEDS = {
    "direct": [], "nginx": ["nginx"], "haproxy": ["haproxy"], "envoy": ["envoy"], "envoy-opa": ["envoy", "opa"],
    "dtgate": ["dtgate"], "dtgate-logged": ["dtgate"], "dtgate-buffered": ["dtgate"], "dtgate-interpreter": ["dtgate"],
    "dtgate-before": ["dtgate-before"],
}
# What each dtgate has otherwise than the one that is called just that.
VARIANTS = {
    "dtgate": {},
    "dtgate-before": {},
    "dtgate-logged": {"log.filter": "info"},
    "dtgate-buffered": {"journal.durability": "buffered"},
    "dtgate-interpreter": {"policies.bytecode": "none"},
}
JUDGES = {"envoy-opa", *VARIANTS}


class Peer:
    """A running peer."""

    def __init__(self, name, port, processes, tls=None, journal=None):
        self.name, self.port, self.processes, self.tls, self.journal = name, port, processes, tls, journal
        # Where decisions are kept, and how many lines one allowed request makes there.
        self.decisions, self.each = (processes[0].log, 1) if name == "envoy-opa" else (journal, 2)

    def cpu_seconds(self):
        return sum(process.cpu_seconds() for process in self.processes)

    def memory(self, line="VmHWM"):
        return sum(process.memory(line) for process in self.processes)

    def records(self):
        """How many decisions and outcomes are in the journal or the decision log."""
        files = self.decisions.glob("*.jsonl") if self.decisions.is_dir() else [self.decisions]
        return sum(path.read_bytes().count(b'"decision_id"') for path in files)

    def ask(self, method, path, body=None):
        """One request on a connection of its own; status and body."""
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls["certificate"])
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, CLIENT)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def certificate(folder, found):
    """A self-signed one for the loopback address, as the peers want it: in two files, and in one."""
    names = {"certificate": folder / "certificate.pem", "key": folder / "key.pem", "both": folder / "both.pem"}
    subprocess.run(
        [found["openssl"], "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(names["key"]), "-out", str(names["certificate"])], check=True, capture_output=True)
    names["both"].write_bytes(names["certificate"].read_bytes() + names["key"].read_bytes())
    return {name: str(path) for name, path in names.items()}


@contextmanager
def upstream(folder, found):
    """Starts the upstream on the load's core and gives its port."""
    home, port = _home(folder, "upstream"), free_port()
    (home / "1m").write_bytes(b"m" * 1024 * 1024)
    (home / "upstream.conf").write_text(configs.upstream(home, port))
    process = Process([found["nginx"], "-e", home / "error.log", "-p", home, "-c", home / "upstream.conf"], home,
                      "upstream", core=LOAD_CORE)
    try:
        wait_until(lambda: listens(port), [process])
        yield port
    finally:
        process.stop()


@contextmanager
def running(name, folder, found, upstream_port, tls=None, settings=None):
    """Starts a peer, waits until it answers through to the upstream, and ends it whatever happens.

    `settings` are keys of dtgate's configuration.
    """
    home, port, processes, journal = _home(folder, name), free_port(), [], None
    try:
        if name == "direct":
            port = upstream_port
        elif name == "nginx":
            (home / "nginx.conf").write_text(configs.nginx(home, port, upstream_port, tls))
            processes.append(Process(
                [found["nginx"], "-e", home / "error.log", "-p", home, "-c", home / "nginx.conf"], home, name))
        elif name == "haproxy":
            (home / "haproxy.cfg").write_text(configs.haproxy(port, upstream_port, tls))
            processes.append(Process([found["haproxy"], "-db", "-f", home / "haproxy.cfg"], home, name))
        elif name in ("envoy", "envoy-opa"):
            opa_port = None
            if name == "envoy-opa":
                opa_port = free_port()
                processes.append(_opa(home, found, opa_port))
                wait_until(lambda: listens(opa_port), processes)
            (home / "envoy.json").write_text(configs.envoy(port, upstream_port, tls, opa_port))
            processes.append(Process(
                [found["envoy"], "-c", home / "envoy.json", "--concurrency", "1", "--disable-hot-restart",
                 "-l", "error"], home, "envoy"))
        else:
            journal, settings = home / "journal", VARIANTS[name] | (settings or {})
            binary = found["dtgate-before" if name == "dtgate-before" else "dtgate"]
            process, admin = dtgate(home, binary, port, upstream_port, journal, tls, settings)
            processes.append(process)
        peer = Peer(name, port, processes, tls, journal)
        wait_until(lambda: listens(port) and peer.ask("GET", "/1k")[0] == 200, processes)
        if journal and settings.get("policies.bytecode") != "none":
            # It compares its two engines after the start, for seconds, and uses the fast one from then on.
            wait_until(lambda: is_proven(admin), processes, seconds=60)
        yield peer
        for process in processes:
            process.check()
    finally:
        for process in reversed(processes):
            process.stop()
        shutil.rmtree(home, ignore_errors=True)


def dtgate(home, binary, port, upstream_port, journal, tls=None, settings=None):
    """Starts dtgate with one worker; gives the process and its operators' port. The shipped policies, unless told."""
    admin = free_port()
    keys = {
        "listener.listen": f"127.0.0.1:{port}", "admin.listen": f"127.0.0.1:{admin}",
        "upstream.url": f"http://127.0.0.1:{upstream_port}", "policies.directory": str(ROOT / "policies"),
        "journal.directory": str(journal), "journal.durability": "synced", "log.filter": "warn",
        # All of the load comes from one address, as behind a load balancer, and from one caller.
        "limits.address_share": "100%", "limits.judge_queue": 1000,
    }
    if tls:
        keys |= {"listener.tls.files.certificate": tls["certificate"], "listener.tls.files.key": tls["key"]}
    (home / "dtgate.toml").write_text(configs.dtgate(keys | (settings or {})))
    command = [binary, "serve", "--config", home / "dtgate.toml"]
    if _has_workers(binary):
        command += ["--workers", "1"]
    return Process(command, home, "dtgate"), admin


def is_proven(admin):
    """Whether dtgate has found its engines equal."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as answer:
        return b"\ndtgate_bytecode_trusted 1\n" in answer.read()


@cache
def _has_workers(binary):
    usage = subprocess.run([binary, "serve", "--help"], check=True, capture_output=True, text=True)
    return "--workers" in usage.stdout


def _opa(home, found, port):
    """OPA with the shipped policies, and the adapter beside them; its decisions go to its log file, on disk."""
    bundle = home / "bundle"
    shutil.copytree(ROOT / "policies", bundle, ignore=shutil.ignore_patterns("*_test.rego", "*.md", ".manifest"))
    shutil.copy(HERE / "adapter.rego", bundle)
    (home / "opa.json").write_text(configs.opa(port))
    return Process(
        [found["opa"], "run", "--server", "--addr", f"127.0.0.1:{free_port()}", "--config-file", home / "opa.json",
         "--log-level", "error", "--skip-version-check", bundle],
        home, "opa", environment={"GOMAXPROCS": "1"})


def verify(peer, load, requests):
    """Fails unless the peer does its job: what is asked is answered, what must be refused is, what must be kept is."""
    method, path, body = load.first(requests)
    if method == "GET":
        status, content = peer.ask(method, path)
        length = {"/1k": 1024, "/1m": 1024 * 1024}[path]
        _expect(peer, (status, len(content)) == (200, length), f"{path}: {status} with {len(content)} bytes")
        return
    before = peer.records() if peer.decisions else 0
    status, content = peer.ask(method, path, body)
    _expect(peer, status == 204, f"{path}: {status} {content[:300]!r}")
    if peer.decisions:
        wait_until(lambda: peer.records() == before + peer.each, peer.processes, seconds=2)
    if peer.name in JUDGES:
        asked = json.loads(body)
        asked["scopes"].append("WriteConfig")
        status, content = peer.ask(method, path, json.dumps(asked))
        _expect(peer, status == 403, f"a change that policies deny: {status} {content[:300]!r}")


def _expect(peer, good, found):
    if not good:
        raise Failed(f"{peer.name} does not do its job: {found}")


def _home(folder, name):
    home = Path(folder) / name
    home.mkdir(parents=True)
    return home


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
