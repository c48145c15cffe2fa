"""The load: prepared requests, and what drives them in closed loops (wrk, h2load) and in an open one (load.rs).

Every driver returns the same numbers: requests, seconds, quantiles in microseconds. One refused or broken request
fails the measurement. Knows a peer only as a port.
"""

import json
import random
import subprocess
import uuid

from configs import SCOPES
from process import LOAD_CORE, Failed
from tools import HERE

CLIENT = {
    "Authorization": "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN." + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" * 2,
    "Content-Type": "application/json; charset=utf-8",
    "Accept": "application/json",
    "User-Agent": "dynatrace-terraform/1.80.0",
}
CONNECTIONS = 64
TOKENS = 1000


class Load:
    """The files that the drivers read, in a folder of their own."""

    def __init__(self, folder, found):
        self.folder, self.found = folder, found
        self.headers = folder / "headers"
        self.headers.write_text("".join(f"{name}: {value}\n" for name, value in CLIENT.items()))
        (folder / "open-1k").write_text("GET\t/1k\t\n")
        (folder / "open-1m").write_text("GET\t/1m\t\n")
        self.guarded("guarded", SCOPES)

    def guarded(self, name, scopes):
        """Writes changes of a thousand different tokens: one gate changes one token after the other."""
        source = random.Random(4)
        ids, lines = [], []
        for number in range(TOKENS):
            ids.append(str(uuid.UUID(int=source.getrandbits(128), version=4)))
            order = source.sample(scopes, len(scopes))
            body = json.dumps({"name": f"payments-prod-ci-{number:04}", "scopes": order}, separators=(",", ":"))
            lines.append(f"PUT\t/api/v1/tokens/{ids[-1]}\t{body}\n")
        (self.folder / name).write_text("".join(lines))
        (self.folder / f"{name}.body").write_text(lines[0].split("\t")[2].strip())
        (self.folder / f"{name}.paths").write_text("".join(line.split("\t")[1] + "\n" for line in lines))

    def first(self, requests):
        """Method, path and body of the first prepared request."""
        with (self.folder / requests).open() as lines:
            return lines.readline().rstrip("\n").split("\t")

    def wrk(self, port, requests, seconds, connections=CONNECTIONS, denied=False):
        """`denied`: each answer has to be 403."""
        large = requests == "open-1m"
        output = self._run(seconds, [
            self.found["wrk"], "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", "load.lua",
            f"http://127.0.0.1:{port}", "--", self.folder / requests, self.headers,
            "errors" if large else "denied" if denied else "statuses"])
        for line in output.splitlines():
            if line.startswith("RESULT "):
                result = json.loads(line.removeprefix("RESULT "))
                if large and result["bytes"] < result["requests"] * 1024 * 1024:
                    # Looking at statuses would cost too much; whatever is not the file is shorter.
                    raise Failed(f"{result['requests']} answers with only {result['bytes']} bytes")
                strange = result.pop("strange")
                result["refused"] = strange if denied else result["refused"] + strange
                return _checked(result)
        raise Failed("wrk said: " + output.strip()[-300:])

    def h2load(self, port, requests, seconds):
        """HTTP/2 over TLS: 16 connections with 4 requests on each. All changes have the same body, as h2load wants."""
        log, urls = self.folder / f"h2load-{port}.log", self.folder / f"urls-{port}"
        log.unlink(missing_ok=True)
        method, path, body = self.first(requests)
        paths = (self.folder / f"{requests}.paths").read_text().split() if body else [path]
        urls.write_text("".join(f"https://127.0.0.1:{port}{path}\n" for path in paths))
        command = [self.found["h2load"], "-t1", "-c16", "-m4", f"-D{seconds}", "-i", urls, f"--log-file={log}"]
        for name, value in CLIENT.items():
            command += ["-H", f"{name.lower()}: {value}"]
        if body:
            command += ["-H", f":method: {method}", "-d", self.folder / f"{requests}.body"]
        output = self._run(seconds, command)
        latencies, refused = [], 0
        for line in log.read_text().splitlines():
            _start, status, micros = line.split("\t")
            latencies.append(int(micros))
            refused += not status.startswith("2")
        latencies.sort()
        if not latencies:
            raise Failed("h2load said: " + output.strip()[-300:])
        quantile = lambda part: latencies[min(int(len(latencies) * part), len(latencies) - 1)]
        broken = 0
        for line in output.splitlines():
            if line.startswith("requests:"):
                counts = {name: int(number) for number, name in (part.split() for part in line[9:].split(","))}
                broken = counts["errored"] + counts["timeout"]
            if line.startswith("Application protocol:") and "h2" not in line:
                raise Failed("HTTP/2 was not agreed on")
        return _checked({"requests": len(latencies), "seconds": float(seconds), "refused": refused, "broken": broken,
                         "p50": quantile(0.5), "p99": quantile(0.99), "p999": quantile(0.999)})

    def open_loop(self, port, requests, rate, seconds):
        output = self._run(seconds + 30, [
            self.found["load"], f"127.0.0.1:{port}", self.folder / requests, self.headers, rate, seconds, CONNECTIONS])
        return _checked(json.loads(output))

    def _run(self, seconds, command):
        try:
            result = subprocess.run(
                ["taskset", "-c", str(LOAD_CORE), *map(str, command)], cwd=HERE, check=False, capture_output=True,
                text=True, timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            raise Failed(f"{command[0]} did not end") from None
        if result.returncode:
            raise Failed(f"{command[0]}: " + (result.stderr or result.stdout).strip()[-300:])
        return result.stdout


def _checked(result):
    if result["refused"] or result.get("broken"):
        raise Failed(f"{result['refused']} of {result['requests']} requests were refused, "
                     f"{result.get('broken', 0)} connections or answers broke")
    if not result["requests"]:
        raise Failed("no request was answered")
    result["rate"] = result["requests"] / result["seconds"]
    return result
