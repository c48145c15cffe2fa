#!/usr/bin/env python3
"""Whether somebody who looks hard at the console moves the data plane: guarded requests at a fixed rate, with and without
heavy pages beside them, in turns.

    benches/console.py [--program FILE] [--rate 500] [--seconds 5] [--rounds 5] [--records 100000]

The gate has core 0, pages included; the load, the upstream and those who ask for pages have core 1. Latencies count from
when a request was due. Needs Linux, two cores, rustc, and a built dtgate (target/release/dtgate, or target/dist/dtgate).
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
GATE_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 16
# A token that the simulator knows, and that opens nothing.
SECRET = "dt0c01.APITOKENSAAAAAAAAAAAAAAA.TOKENSAPINOTAREALSECRET" + "A" * 41
SCOPES = ["metrics.read", "logs.read", "entities.read", "problems.read", "events.read", "slo.read"]
SEARCHES = [
    "/console/decisions?text=payments&scope=*read&since=30d",
    "/console/decisions?token=*ci-0999*&outcome=answered",
    "/console/callers?since=30d",
    "/console/policies/escalation",
    "/console",
]
# As much work as a policy may ask for before it is stopped.
HEAVY = """package dtgate.heavy

deny contains "never" if {
	some a in numbers.range(1, 100000)
	some b in numbers.range(1, 100000)
	a * b == -1
}
"""
REQUEST = (
    "curl -X POST https://gate.example/api/v2/apiTokens -H 'Content-Type: application/json' "
    "-d '{\"name\":\"payments-prod-ci\",\"scopes\":[\"metrics.read\"]}'"
)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--program", type=pathlib.Path, default=program())
    options.add_argument("--rate", type=int, default=500, help="guarded requests a second")
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--records", type=int, default=100_000, help="what the journal has before")
    wanted = options.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    folder = pathlib.Path(tempfile.mkdtemp(prefix="console-", dir=ROOT / "target"))
    started = []
    try:
        measure(wanted, folder, started)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGINT)
            process.wait()
        shutil.rmtree(folder)


def program():
    found = [ROOT / "target" / profile / "dtgate" for profile in ("dist", "release")]
    return next((it for it in found if it.exists()), found[-1])


def measure(wanted, folder, started):
    load = folder / "load"
    subprocess.run(["rustc", "-O", "--edition", "2024", "-o", load, ROOT / "benches/compare/load.rs"], check=True)
    files(folder)
    upstream, listen, admin = ports(3)
    start(started, LOAD_CORE, [wanted.program, "simulate", "--listen", f"127.0.0.1:{upstream}"], folder)
    start(started, GATE_CORE, [
        wanted.program, "serve", "--config", folder / "dtgate.toml", "--listen", f"127.0.0.1:{listen}",
        "--admin", f"127.0.0.1:{admin}", "--workers", "1", "--upstream", f"http://127.0.0.1:{upstream}",
        "--policies", folder / "policies", "--journal", folder / "journal",
    ], folder)
    answered(f"http://127.0.0.1:{admin}/readyz")

    def run(rate, seconds, must_keep_up=True):
        command = [load, f"127.0.0.1:{listen}", folder / "requests", folder / "headers", rate, seconds, CONNECTIONS]
        output = subprocess.run([str(it) for it in command], check=True, capture_output=True, text=True).stdout
        result = json.loads(output)
        if result["refused"] or must_keep_up and result["requests"] < result["due"] * 0.99:
            raise SystemExit(f"requests were refused or not sent: {result}")
        return result

    # Two records a request.
    filling = 1000
    run(filling, max(1, wanted.records // 2 // filling), must_keep_up=False)
    answered(f"http://127.0.0.1:{admin}/console")
    rounds = []
    for number in range(wanted.rounds):
        cases = ["quiet", "pages"] if number % 2 == 0 else ["pages", "quiet"]
        found = {}
        for case in cases:
            pages = Pages(f"http://127.0.0.1:{admin}", 3 if case == "pages" else 0)
            time.sleep(1)
            found[case] = run(wanted.rate, wanted.seconds)
            found[case]["pages"] = pages.stop()
            time.sleep(1)
        rounds.append(found)
        show(number + 1, found)
    for name in ("p50", "p99", "p999"):
        both = [statistics.median(it[case][name] for it in rounds) / 1000 for case in ("quiet", "pages")]
        ratio = statistics.median(it["pages"][name] / it["quiet"][name] for it in rounds)
        print(f"{name:5} quiet {both[0]:7.2f} ms   beside pages {both[1]:7.2f} ms   ratio {ratio:.2f}")


def show(number, found):
    for case, it in found.items():
        times = " ".join(f"{name} {it[name] / 1000:7.2f} ms" for name in ("p50", "p99", "p999"))
        print(f"round {number} {case:6} {times}  pages by answer {it['pages']}", flush=True)


class Pages:
    """People who ask for one heavy page after the other."""

    def __init__(self, base, people):
        self.base, self.ends, self.answers = base, False, {}
        self.threads = [threading.Thread(target=self.ask, args=[at]) for at in range(people)]
        for thread in self.threads:
            thread.start()

    def ask(self, at):
        while not self.ends:
            at += 1
            status = asked(self.request(at))
            self.answers[status] = self.answers.get(status, 0) + 1

    def request(self, at):
        if at % 2 == 0:
            return self.base + SEARCHES[at // 2 % len(SEARCHES)]
        form = {"request": REQUEST, "edited": json.dumps({"heavy.rego": HEAVY})}
        fields = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        data = urllib.parse.urlencode(form).encode()
        return urllib.request.Request(f"{self.base}/console/playground/judge", data, fields)

    def stop(self):
        self.ends = True
        for thread in self.threads:
            thread.join()
        return self.answers


def files(folder):
    shutil.copytree(ROOT / "policies", folder / "policies")
    data = folder / "policies/data.yaml"
    text = data.read_text()
    for limit in ("created: 200", "scopes_gained: 2000"):
        assert limit in text, limit
        text = text.replace(limit, limit.split(":")[0] + ": 0")
    data.write_text(text)
    (folder / "dtgate.toml").write_text(
        '[console]\nlogin = "none"\n[log]\nfilter = "warn"\n[limits]\naddress_share = "100%"\n'
    )
    (folder / "headers").write_text(f"Authorization: Api-Token {SECRET}\nContent-Type: application/json\n")
    bodies = (json.dumps({"name": f"payments-prod-ci-{at:04}", "scopes": SCOPES}) for at in range(1000))
    (folder / "requests").write_text("".join(f"POST\t/api/v2/apiTokens\t{body}\n" for body in bodies))


def ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return found


def start(started, core, command, folder):
    log = (folder / f"log-{len(started)}").open("w")
    started.append(subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, command)], cwd=folder, stdout=log, stderr=log))


def answered(url):
    """Waits until it is answered 200."""
    until = time.monotonic() + 60
    while asked(url) != 200:
        if time.monotonic() > until:
            raise SystemExit(f"{url}: no answer")
        time.sleep(0.2)


def asked(request):
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return type(error).__name__


if __name__ == "__main__":
    main()
