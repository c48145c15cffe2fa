"""Processes: started on one core, looked at while they run, and certainly ended.

CPU time and memory are the kernel's own account of a process and all that it started. Knows nothing of what runs.
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PEER_CORE, LOAD_CORE = 0, 1


class Failed(Exception):
    """Something that was to be measured did not work; the text says what."""


# What may go wrong with one peer in one measurement, and must not end the others: what it was seen to do wrong, and
# what files, sockets (urllib's errors are among them), HTTP and programs do. A mistake of this folder is none of it.
BROKEN = (Failed, OSError, http.client.HTTPException, subprocess.SubprocessError)


def described(failure):
    """A failure in one line; those of the libraries often say nothing without their name."""
    return str(failure) if isinstance(failure, Failed) else f"{type(failure).__name__}: {failure}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """One program on the peers' core (or the load's), with its output in a file."""

    def __init__(self, command, folder, name, core=PEER_CORE, environment=None):
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        self.begun = time.monotonic()
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                ["taskset", "-c", str(core), *map(str, command)], cwd=folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=os.environ | (environment or {}))

    def check(self):
        if self.popen.poll() is not None:
            raise Failed(f"{self.name} ended with {self.popen.returncode}: {self.last_words()}")

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "no output"

    def stop(self):
        workers = {pid: _begun(pid) for pid in self.family()[1:]}
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        # Workers that outlived their master; never another process that has got the number since.
        for pid, begun in workers.items():
            if begun is not None and _begun(pid) == begun:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def family(self):
        """Its own id and those of all descendants."""
        parents = {int(entry.name): _parent(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        family = [self.popen.pid]
        for pid in family:
            family.extend(child for child, parent in parents.items() if parent == pid)
        return family

    def cpu_seconds(self):
        """User and system time of all threads."""
        total = 0
        for pid in self.family():
            fields = _stat(pid)
            if fields:
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory(self, line):
        """`VmHWM` (the peak) or `VmRSS` (now), in MiB."""
        total = 0
        for pid in self.family():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except FileNotFoundError:
                continue
            total += sum(int(entry.split()[1]) for entry in status.splitlines() if entry.startswith(line + ":"))
        return total / 1024


def _stat(pid):
    """The fields of /proc/PID/stat behind the name, which may hold anything; the first is the state."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _parent(pid):
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def _begun(pid):
    fields = _stat(pid)
    return fields[19] if fields else None


def core_busy(core):
    """Seconds that a core has been busy, and seconds in all, since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            ticks = list(map(int, fields[:8]))
            return (sum(ticks) - ticks[3] - ticks[4]) / TICKS, sum(ticks) / TICKS
    raise Failed(f"there is no core {core}")


def wait_until(good, processes, seconds=20, every=0.02):
    """Asks again and again until the answer is yes; a process that ends meanwhile ends the waiting."""
    end = time.monotonic() + seconds
    while True:
        answer = good()
        if answer:
            return answer
        for process in processes:
            process.check()
        if time.monotonic() > end:
            raise Failed(" and ".join(process.name for process in processes) + f" not ready after {seconds} s: "
                         + processes[-1].last_words())
        time.sleep(every)
