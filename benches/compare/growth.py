"""What grows: policies, scopes, idle connections and the journal, and what each does to dtgate.

Every case returns rows for a table, medians over the rounds. Nobody else takes part: the question is the shape of the
curve, not the place in a race.
"""

import hashlib
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import time

import peers
from configs import SCOPES
from process import Failed, free_port, wait_until
from tools import ROOT


def parts(bench):
    """What a guarded change costs with ever more of the work: each row adds to the one before."""
    rows = []
    reads = {"one policy": "input.api", "and it reads the token: a lookup": "input.token.current.owner"}
    for name, member in reads.items():
        folder = bench.folder / f"policies-{len(rows)}"
        folder.mkdir()
        (folder / "one.rego").write_text(f'package dtgate.one\n\ndeny contains "no" if {member} == "nobody"\n')
        settings = {"policies.directory": str(folder), "policies.bytecode": "all"}
        rows.append({"": name} | _guarded(bench, "guarded", settings))
    rows.append({"": "all shipped policies"} | _guarded(bench, "guarded", {}))
    folder = bench.folder / "policies-and-own"
    shutil.copytree(ROOT / "policies", folder, ignore=shutil.ignore_patterns("*_test.rego"))
    (folder / "own.rego").write_text('package dtgate.own\n\ndeny contains "no" if input.api == "nobody"\n')
    rows.append({"": "and a plain one of one's own"}
                | _guarded(bench, "guarded", {"policies.directory": str(folder)}))
    rows.append({"": "the same, left to the interpreter"}
                | _guarded(bench, "guarded", {"policies.directory": str(folder), "policies.bytecode": "shipped"}))
    rows.append({"": "all in the interpreter"} | _guarded(bench, "guarded", {"policies.bytecode": "none"}))
    return rows


def policies(bench):
    """Small policies, each in a file and a package of its own, and none of the shipped ones: nobody is looked up."""
    rows = []
    for count in (10, 100, 1000):
        folder = bench.folder / f"policies-{count}"
        folder.mkdir()
        for number in range(count):
            (folder / f"generated_{number:04}.rego").write_text(POLICY.replace("NUMBER", f"{number:04}"))
        settings = {"policies.directory": str(folder), "policies.time_limit": "30s", "policies.bytecode": "all"}
        rows.append({"policies": count} | _guarded(bench, "guarded", settings))
    return rows


POLICY = """package dtgate.generated_NUMBER

deny contains violation if {
\tis_array(input.change.scopes.requested)
\tsome i, scope in input.change.scopes.requested
\tscope in {"generated.NUMBER", "other.NUMBER"}
\tviolation := {
\t\t"code": "generated-NUMBER",
\t\t"message": sprintf("scope %q may not be granted; leave it out of the request", [scope]),
\t\t"path": sprintf("scopes[%d]", [i]),
\t}
}
"""


def scopes(bench):
    """The shipped policies, with a budget and a catalogue that let 200 scopes pass."""
    folder, most = bench.folder / "policies-scopes", 200
    shutil.copytree(ROOT / "policies", folder, ignore=shutil.ignore_patterns("*_test.rego"))
    names = SCOPES + [f"generated.{number:03}.read" for number in range(most - len(SCOPES))]
    data, catalogue = folder / "data.yaml", folder / "dynatrace" / "scopes" / "data.json"
    text = data.read_text()
    if text.count("max: 12\n") != 1:
        raise Failed("policies/data.yaml has no max: 12 any more")
    data.write_text(text.replace("max: 12\n", f"max: {most}\n"))
    known = json.loads(catalogue.read_text())
    for name in names[len(SCOPES):]:
        known[name] = known["metrics.read"]
    catalogue.write_text(json.dumps(known))
    rows = []
    for count in (1, 20, most):
        bench.load.guarded(f"guarded-{count}", names[:count])
        settings = {"policies.directory": str(folder), "policies.time_limit": "30s"}
        rows.append({"scopes": count} | _guarded(bench, f"guarded-{count}", settings))
    return rows


def _guarded(bench, requests, settings):
    """Guarded changes in a closed loop."""
    rounds = []
    for _ in range(bench.options.rounds):
        with peers.running("dtgate", bench.folder, bench.found, bench.upstream, settings=settings) as peer:
            bench.load.wrk(peer.port, requests, 1)
            before = peer.cpu_seconds()
            result = bench.load.wrk(peer.port, requests, bench.options.seconds)
            used = peer.cpu_seconds() - before
            rounds.append({"req/s": result["rate"], "CPU µs": used / result["requests"] * 1e6,
                           "p50 ms": result["p50"] / 1000, "p99 ms": result["p99"] / 1000, "peak MiB": peer.memory()})
    return medians_of(rounds)


def idle(bench):
    """Connections that have had one answer and now wait for their next request; and the time to start."""
    counts = (1, 100, 10_000)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < counts[-1] + 500:
        raise Failed(f"at most {hard} files may be open, and {counts[-1]} connections are to be")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = {
        "listener.max_connections": 30_000,
        "listener.idle_timeout": "1h",
    }
    rows = []
    for count in counts:
        rounds = []
        for _ in range(bench.options.rounds):
            home = bench.folder / "idle"
            home.mkdir()
            process, port, ready = start(bench, home, home / "journal", settings)
            connections = []
            try:
                for _ in range(count):
                    connections.append(_one_answer(port))
                rounds.append({"MiB": _settled(process), "ready ms": ready})
            finally:
                for connection in connections:
                    connection.close()
                process.stop()
                shutil.rmtree(home)
        rows.append({"connections": count} | medians_of(rounds))
    return rows


def _settled(process):
    """What the process has in memory, in MiB, once it falls no longer. After two seconds of silence connections give
    their buffers back, and the allocator may do so later: until nothing fell for three seconds, twenty at the most."""
    end = time.monotonic() + 20
    least, since = process.memory("VmRSS"), time.monotonic()
    while time.monotonic() < min(since + 3, end):
        time.sleep(0.25)
        now = process.memory("VmRSS")
        if now < least - 0.1:
            since = time.monotonic()
        least = min(least, now)
    return now


def _one_answer(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(b"GET /1k HTTP/1.1\r\nHost: gate\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 1024:
        read = connection.recv(4096)
        if not read:
            raise Failed("a connection was closed instead of answered")
        answer += read
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise Failed(f"answered {answer[:40]!r}")
    return connection


def journal(bench):
    """A journal that has been written for a while: in every round exactly as long as its row says, before any load.
    Its last segment is four fifths full: the start reads all of that one."""
    sizes = (0, 10_000, 100_000) if bench.options.quick else (0, 1_000_000, 10_000_000)
    rows = []
    for size in sizes:
        home = bench.folder / "grown"
        home.mkdir()
        try:
            length = fabricate(home / "made", size, sizes[1] // 10)
            if size == sizes[1]:
                _proven(bench, home / "made")
            rounds = []
            for _ in range(bench.options.rounds):
                _as_made(home / "made", home / "journal")
                process, port, ready = start(bench, home, home / "journal", {})
                try:
                    bench.load.wrk(port, "guarded", 1)
                    result = bench.load.wrk(port, "guarded", bench.options.seconds)
                    rounds.append({"ready ms": ready, "req/s": result["rate"], "peak MiB": process.memory("VmHWM")})
                finally:
                    process.stop()
                    shutil.rmtree(home / "journal")
            rows.append({"records": size, "MiB": length / 1024 / 1024} | medians_of(rounds))
        finally:
            shutil.rmtree(home)
    return rows


def _as_made(made, folder):
    """The journal again as it was made. Only its last segment is written to: the others are the same files."""
    folder.mkdir(mode=0o700)
    segments = sorted(made.iterdir())
    for path in segments[:-1]:
        (folder / path.name).hardlink_to(path)
    for path in segments[-1:]:
        shutil.copy(path, folder / path.name)
        _to_disk(folder / path.name)


def _to_disk(path):
    """Or the gate's first sync would have to write what was fabricated."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def fabricate(folder, records, segment):
    """Writes a journal whose chain holds (docs/journal.md), `segment` records a file; returns its length."""
    folder.mkdir(mode=0o700)
    previous, length, number = b"0" * 64, 0, 0
    while number < records:
        lines = []
        path = folder / f"{number + 1:020}.jsonl"
        for number in range(number + 1, min(number + segment, records) + 1):
            line = RECORD % (number, previous, number - 1, number - 1) if number > 1 else FIRST % (number, previous)
            previous = hashlib.sha256(line).hexdigest().encode()
            lines.append(line)
        content = b"\n".join(lines) + b"\n"
        path.write_bytes(content)
        path.chmod(0o600)
        _to_disk(path)
        length += len(content)
    return length


FIRST = (b'{"seq":%d,"prev":"%b","synced":0,"kind":"start","timestamp":"2026-11-24T06:50:47.268Z","version":"0.1.0",'
         b'"revision":"1d2dd3cb06ac8b436dd2dcbfdbea14ea64e660ed937a6507159d331121141eae","in_doubt":[]}')
RECORD = (b'{"seq":%d,"prev":"%b","synced":%d,"kind":"outcome","timestamp":"2026-11-24T06:50:49.199Z",'
          b'"decision_id":"01a20c52-49ea-7167-b2a4-3ec626d60e0b","decision_seq":%d,"outcome":"answered","status":204,'
          b'"duration_ms":1.25}')


def _proven(bench, folder):
    result = subprocess.run([bench.found["dtgate"], "audit", "verify", "--journal", folder], check=False,
                            capture_output=True, text=True)
    if result.returncode:
        raise Failed("the fabricated journal does not hold: " + (result.stderr or result.stdout).strip()[-200:])


def start(bench, home, records, settings):
    """Starts dtgate and waits until it has found its engines equal; the process, its port, and how many milliseconds
    it took until it said that it is ready."""
    port = free_port()
    process, admin = peers.dtgate(home, bench.found["dtgate"], port, bench.upstream, records, settings=settings)
    begin = process.begun
    try:
        wait_until(lambda: _ready(admin), [process], seconds=120, every=0.001)
        ready = (time.monotonic() - begin) * 1000
        wait_until(lambda: peers.is_proven(admin), [process], seconds=60)
        return process, port, ready
    except BaseException:
        process.stop()
        raise


def _ready(admin):
    try:
        with socket.create_connection(("127.0.0.1", admin), timeout=5) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def medians_of(rounds):
    return {key: statistics.median(result[key] for result in rounds) for key in rounds[0]}


CASES = {"parts": parts, "policies": policies, "scopes": scopes, "idle": idle, "journal": journal}
