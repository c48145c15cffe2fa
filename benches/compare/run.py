#!/usr/bin/env python3
"""Measures dtgate beside nginx, HAProxy, Envoy and Envoy with OPA, in one run: the one command of this folder.

Peers take turns within every round, so that whatever else the machine does hits all of them; with --at-once they
share their core, which hits them at the same moment. What is quoted are medians over the rounds, and ratios. Absolute
figures mean little elsewhere.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

# Before the modules beside this one are read: they would leave a folder in the source.
sys.dont_write_bytecode = True

import denials
import growth
import peers
import sampling
import table
import tools
from load import Load
from process import BROKEN, LOAD_CORE, core_busy, described

PROXIES = ["nginx", "haproxy", "envoy"]
DTGATES = ["dtgate", "dtgate-before", "dtgate-logged"]
GUARDS = [*PROXIES, "envoy-opa", *DTGATES, "dtgate-buffered"]
# Name: what it is, the prepared requests, who takes part, how it is driven (a number is the rate of an open loop).
CASES = {
    "open-1k": ("GET, 1 KiB answer", "open-1k", ["direct", *PROXIES, *DTGATES], "wrk"),
    "open-1m": ("GET, 1 MiB answer", "open-1m", ["direct", *PROXIES, *DTGATES], "wrk"),
    "guarded": ("PUT of a token, 12 scopes, all policies, journal", "guarded",
                ["direct", *GUARDS, "dtgate-interpreter"], "wrk"),
    "open-tls": ("GET, 1 KiB answer, HTTP/2 and TLS in front", "open-1k", [*PROXIES, *DTGATES], "h2load"),
    "guarded-tls": ("the PUT with one body for all tokens, HTTP/2 and TLS in front", "guarded", GUARDS, "h2load"),
    "added-1000": ("the same PUT, 1,000 a second in an open loop", "guarded",
                   ["direct", *GUARDS, "dtgate-interpreter"], 1000),
    "added-4000": ("the same PUT, 4,000 a second in an open loop", "guarded", ["direct", *GUARDS], 4000),
}
# Name: what makes the rows of its table, and what it needs. Of dtgate alone.
ALONE = {name: (make, {"dtgate", "wrk"}) for name, make in growth.CASES.items()}
ALONE["denials"] = denials.denials, {"dtgate", "wrk", "load"}
ALONE["profile"] = sampling.profile, {"dtgate", "wrk", "perf"}
DRIVERS = {"wrk": {"wrk"}, "h2load": {"h2load", "openssl"}}


def main():
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Whoever starts this with nohup means it.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, ended)
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the peers, one for the load and the upstream")
    os.sched_setaffinity(0, {LOAD_CORE})
    cases = [name for name in [*CASES, *ALONE] if not options.only or name in options.only]
    if options.at_once:
        cases = [name for name in cases if name in CASES and CASES[name][3] in DRIVERS]
    if options.quick and not options.only:
        cases = ["open-1k"]
    wanted = {"nginx", "wrk"}
    for name in cases:
        wanted |= needs(name, options)
    found, missing = tools.find(wanted, options, say)
    for name, reason in missing.items():
        say(f"left out: {name}: {reason}")
    if "nginx" in missing:
        sys.exit("without nginx there is no upstream")
    report = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "rounds": options.rounds,
              "seconds": options.seconds, "versions": tools.versions(found), "machine": tools.machine(),
              "at_once": options.at_once, "missing": missing, "left_out": {}, "failed": {}, "cases": {}, "alone": {}}
    # What is built from this checkout is no tool that somebody may lack.
    report["failed"] |= {name: missing[name] for name in ("dtgate", "load") if name in missing}
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=tools.cache()))
    try:
        if tools.in_memory(folder):
            say(f"{folder} is in memory: what the journal's syncs cost will not be seen")
        report["sync_ms"] = tools.syncs(folder)
        print(table.about(report), flush=True)
        with peers.upstream(folder, found) as upstream:
            bench = Bench(folder, found, options, report, upstream)
            for name in cases:
                if name in CASES:
                    bench.case(name)
                else:
                    bench.alone(name)
    except BROKEN as failure:
        report["failed"]["the run itself"] = described(failure)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if options.json:
            Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    if not options.at_once:
        print(table.goals(report))
    if report["left_out"]:
        print("left out: " + "; ".join(f"{name}: {why}" for name, why in report["left_out"].items()))
    if report["failed"]:
        sys.exit("failed: " + "; ".join(f"{name}: {why}" for name, why in report["failed"].items()))


def ended(*_):
    """From outside: what was started is ended and the folder removed on the way out, which nothing shall interrupt."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit("ended from outside")


def needs(name, options):
    """The tools of a case."""
    if name in ALONE:
        return ALONE[name][1]
    _title, _requests, takes_part, driver = CASES[name]
    needed = {need for peer in takes_part if peer in options.peers for need in peers.NEEDS[peer]}
    return needed | DRIVERS.get(driver, {"load"})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true",
                        help="one round of two seconds, one case unless --only names others")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5,
                        help="of every measurement; a second to warm up comes before")
    parser.add_argument("--at-once", action="store_true",
                        help="all peers of a case at the same time on their one core: only their CPU times compare, "
                             "and those to a few per cent, whatever else the machine does")
    parser.add_argument("--only", type=names([*CASES, *ALONE]),
                        help="cases, separated by commas: " + ", ".join([*CASES, *ALONE]))
    parser.add_argument("--peers", type=names(list(peers.NEEDS)), default=list(peers.NEEDS),
                        help="separated by commas: " + ", ".join(peers.NEEDS))
    parser.add_argument("--json", metavar="FILE", help="where all numbers go, of every round")
    parser.add_argument("--install", action="store_true", help="let apt-get install what is missing (as root)")
    parser.add_argument("--dtgate", metavar="FILE", help="a binary; otherwise this checkout, built as it is shipped")
    parser.add_argument("--before", metavar="FILE", help="another build of dtgate, for the peer dtgate-before")
    parser.add_argument("--opa", metavar="FILE", help="an opa-envoy-plugin; otherwise from PATH, or built with Go")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2
    return options


def names(known):
    def parse(text):
        given = text.split(",")
        for name in given:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return given
    return parse


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    """One run: the folder that everything is in, and the report that grows."""

    def __init__(self, folder, found, options, report, upstream):
        self.folder, self.found, self.options, self.report = folder, found, options, report
        self.upstream = upstream
        self.files = folder / "load"
        self.files.mkdir()
        self.load = Load(self.files, found)

    @functools.cached_property
    def certificate(self):
        return peers.certificate(self.files, self.found)

    def lacks(self, name, needed):
        """Whether a case cannot be measured here, for want of what drives it; that is said once."""
        lacking = sorted(needed - self.found.keys())
        if lacking:
            self.report["left_out"][name] = "without " + ", ".join(lacking)
            say(f"left out: {name}: {self.report['left_out'][name]}")
        return bool(lacking)

    def case(self, name):
        """Measures one case and prints its table; a peer that fails is named and left out of the rest of it.

        Another one begins in every round, so that nobody is always first, or last.
        """
        title, requests, takes_part, driver = CASES[name]
        if self.lacks(name, DRIVERS.get(driver, {"load"})):
            return
        contenders = [peer for peer in takes_part if peer in self.options.peers
                      and all(need in self.found for need in peers.NEEDS[peer])]
        if self.options.at_once:
            return self.together(name, contenders)
        results = {peer: [] for peer in contenders}
        for number in range(self.options.rounds):
            turn = number % max(len(contenders), 1)
            for peer in contenders[turn:] + contenders[:turn]:
                if peer not in results:
                    continue
                say(f"{name}: round {number + 1} of {self.options.rounds}: {peer}")
                try:
                    results[peer].append(self.measure(peer, requests, driver))
                except BROKEN as failure:
                    self.report["failed"][f"{name}, {peer}"] = described(failure)
                    say(f"  {described(failure)}")
                    results.pop(peer)
        self.show(name, results)

    def together(self, name, contenders):
        """Measures all peers of a case at the same time; one that fails ends the case.

        What the machine does otherwise then hits all at the same moment. `direct` has no processor time of its own.
        """
        _title, requests, _takes_part, driver = CASES[name]
        contenders = [peer for peer in contenders if peer != "direct"]
        tls = self.certificate if driver == "h2load" else None
        results = {peer: [] for peer in contenders}
        for number in range(self.options.rounds):
            say(f"{name}: round {number + 1} of {self.options.rounds}: {', '.join(contenders)}")
            try:
                with contextlib.ExitStack() as all_of_them:
                    running = {peer: all_of_them.enter_context(
                        peers.running(peer, self.folder, self.found, self.upstream, tls)) for peer in contenders}
                    for peer in running.values():
                        peers.verify(peer, self.load, requests)
                    self.drive_all(running, requests, driver, 1)
                    before = {name: peer.cpu_seconds() for name, peer in running.items()}
                    driven = self.drive_all(running, requests, driver, self.options.seconds)
                    for peer, result in driven.items():
                        # All have served their load when it is looked at.
                        used = running[peer].cpu_seconds() - before[peer]
                        results[peer].append(result | {"cpu_us": used / result["requests"] * 1e6})
            except BROKEN as failure:
                self.report["failed"][name] = described(failure)
                say(f"  {described(failure)}")
                return
        self.show(name, results)

    def drive_all(self, running, requests, driver, seconds):
        with concurrent.futures.ThreadPoolExecutor(len(running)) as pool:
            driven = {name: pool.submit(self.drive, peer, requests, driver, seconds)
                      for name, peer in running.items()}
            return {name: result.result() for name, result in driven.items()}

    def show(self, name, results):
        title, requests, _takes_part, driver = CASES[name]
        self.report["cases"][name] = {"title": title, "requests": requests, "driver": driver, "rounds": results,
                                      "at_once": self.options.at_once,
                                      "medians": {peer: medians(rounds) for peer, rounds in results.items()}}
        print(table.case(name, self.report["cases"][name]), flush=True)

    def measure(self, name, requests, driver):
        """One measurement of one peer, started for it."""
        tls = self.certificate if driver == "h2load" else None
        with peers.running(name, self.folder, self.found, self.upstream, tls) as peer:
            peers.verify(peer, self.load, requests)
            self.drive(peer, requests, driver, 1)
            cpu, (busy, total) = peer.cpu_seconds(), core_busy(LOAD_CORE)
            result = self.drive(peer, requests, driver, self.options.seconds)
            used = peer.cpu_seconds() - cpu
            busy_after, total_after = core_busy(LOAD_CORE)
            return result | {
                "cpu_us": used / result["requests"] * 1e6, "core": used / result["seconds"],
                "load_core": (busy_after - busy) / (total_after - total), "peak_mib": peer.memory(),
            }

    def drive(self, peer, requests, driver, seconds):
        if driver == "wrk":
            return self.load.wrk(peer.port, requests, seconds)
        if driver == "h2load":
            return self.load.h2load(peer.port, requests, seconds)
        return self.load.open_loop(peer.port, requests, driver, seconds)

    def alone(self, name):
        make, needed = ALONE[name]
        if self.lacks(name, needed):
            return
        say(name)
        try:
            rows = make(self)
        except BROKEN as failure:
            self.report["failed"][name] = described(failure)
            say(f"  {described(failure)}")
            return
        self.report["alone"][name] = rows
        print(table.alone(name, rows), flush=True)


def medians(rounds):
    return {key: statistics.median(result[key] for result in rounds) for key in rounds[0]}


if __name__ == "__main__":
    main()
