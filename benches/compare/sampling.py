"""Where the CPU time of a guarded request goes: samples of dtgate's stack under load, by what they were taken in.

A sample belongs to the innermost function that one of AREAS names; what none names is what the others are built on.
Knows function names only, and has to be looked at when files of the source move.
"""

import collections
import re
import subprocess

import peers
from process import Failed

# What a function is part of; the first that fits counts.
AREAS = [
    ("policies: virtual machine", r"^<?regorus::|dtgate::policy::watch"),
    ("policies: input document, decision", r"dtgate::policy::|dtgate::dynatrace::change"),
    ("strict parse, canonical path, catalogue", r"dtgate::guard|dtgate::dynatrace"),
    ("journal: records and writer", r"dtgate::audit|sha2::|std::fs::File|__fdatasync|fdatasync"),
    ("upstream: pool and HTTP client",
     r"dtgate::gateway::(pool|upstream|lookup)|hyper::client|hyper::proto::\S*client"),
    ("clients: connections and HTTP server", r"dtgate::listener|hyper::server|hyper::proto::\S*server"),
    ("the way of a request: headers, metrics, answer", r"dtgate::gateway|dtgate::telemetry|dtgate::value"),
    ("HTTP/1 of both sides", r"^<?hyper(_util)?::|httparse::"),
    ("runtime: tasks, timers, sockets", r"^<?(tokio|mio)::"),
]
FREQUENCY = 499


def profile(bench):
    """Rows of a table: each area's share of the samples, how much of it is in the kernel, its hottest functions."""
    home = bench.folder / "profile"
    home.mkdir()
    data = home / "perf.data"
    with peers.running("dtgate", bench.folder, bench.found, bench.upstream) as peer:
        bench.load.wrk(peer.port, "guarded", 1)
        before, seconds = peer.cpu_seconds(), bench.options.seconds
        perf = subprocess.Popen(
            [bench.found["perf"], "record", "--quiet", "--call-graph", "dwarf,32768", "--freq", str(FREQUENCY),
             "--pid", str(peer.processes[0].popen.pid), "--output", data, "--", "sleep", str(seconds)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            result = bench.load.wrk(peer.port, "guarded", seconds)
            _out, said = perf.communicate(timeout=seconds + 60)
        finally:
            # It ends by itself, unless something went wrong here.
            if perf.poll() is None:
                perf.terminate()
                perf.wait()
        used = peer.cpu_seconds() - before
    if perf.returncode:
        raise Failed("perf could not record: " + said.strip()[-200:])
    written = subprocess.run([bench.found["perf"], "script", "--input", data, "--fields", "ip,sym"], check=False,
                             capture_output=True, text=True, timeout=600)
    return rows(stacks(written.stdout), used / result["requests"] * 1e6)


def stacks(text):
    """Lists of function names, the innermost first."""
    for sample in text.split("\n\n"):
        names = [line.strip().partition(" ")[2] for line in sample.splitlines()]
        names = [re.sub(r"\+0x[0-9a-f]+$|::h[0-9a-f]{16}$", "", name) for name in names]
        names = [name for name in names if name]
        if names:
            yield names


def rows(stacks, micros):
    """`micros`: what a request takes, for the share of each area in it."""
    areas, functions, kernel, total = collections.Counter(), collections.Counter(), collections.Counter(), 0
    for names in stacks:
        total += 1
        for name in names:
            area = next((area for area, pattern in AREAS if re.search(pattern, name)), None)
            if area:
                break
        else:
            area, name = "everything else", names[-1]
        areas[area] += 1
        functions[area, name] += 1
        kernel[area] += any(re.match(r"(entry_SYSCALL|do_syscall|__x64_sys)", name) for name in names)
    if total < 100:
        raise Failed(f"only {total} samples")
    table = []
    for area, count in areas.most_common():
        hottest = [(seen, name) for (where, name), seen in functions.most_common() if where == area][:2]
        table.append({
            "area": area, "CPU %": round(100 * count / total, 1), "CPU µs": round(micros * count / total, 1),
            "in the kernel %": round(100 * kernel[area] / count),
            "hottest": ", ".join(name for _seen, name in hottest)})
    return table
