"""Denied changes: what one costs beside an allowed one, and what many of them do to open traffic.

Of dtgate alone, as a caller sees it that always asks for what no policy allows. Its budget of denials is set high, or it
would be answered without a judgement.
"""

import threading

import peers
from configs import SCOPES
from growth import medians_of

RATE = 1000
CONNECTIONS = 32
SETTINGS = {"limits.denials": 100_000_000, "limits.judge_timeout": "30s"}


def denials(bench):
    bench.load.guarded("denied", [*SCOPES[:-1], "WriteConfig"])
    bench.load.guarded("unknown", [f"invented.{number:03}.read" for number in range(200)])
    rows = [
        {"": "allowed"} | _changes(bench, "guarded", denied=False),
        {"": "denied: WriteConfig"} | _changes(bench, "denied", denied=True),
        {"": "denied: 200 scopes that nobody knows"} | _changes(bench, "unknown", denied=True),
    ]
    for name, denied in [("open, alone", None), ("open, beside 32 connections of denials", "denied")]:
        rows.append({"": f"{name}, {RATE:,} a second"} | _open(bench, denied))
    return rows


def _changes(bench, requests, denied):
    """Changes in a closed loop, of which each is allowed, or each is denied."""
    rounds = []
    for _ in range(bench.options.rounds):
        with peers.running("dtgate", bench.folder, bench.found, bench.upstream, settings=SETTINGS) as peer:
            bench.load.wrk(peer.port, requests, 1, denied=denied)
            before = peer.cpu_seconds()
            result = bench.load.wrk(peer.port, requests, bench.options.seconds, denied=denied)
            used = peer.cpu_seconds() - before
            rounds.append({"req/s": result["rate"], "CPU µs": used / result["requests"] * 1e6,
                           "p50 ms": result["p50"] / 1000, "p99 ms": result["p99"] / 1000})
    return medians_of(rounds)


def _open(bench, beside):
    """Open traffic in an open loop, beside changes that are all denied, or beside nothing."""
    rounds = []
    for _ in range(bench.options.rounds):
        with peers.running("dtgate", bench.folder, bench.found, bench.upstream, settings=SETTINGS) as peer:
            failures = []

            def deny():
                try:
                    bench.load.wrk(peer.port, beside, bench.options.seconds + 2, CONNECTIONS, denied=True)
                except Exception as failure:
                    failures.append(failure)

            other = threading.Thread(target=deny) if beside else None
            if other:
                other.start()
            bench.load.open_loop(peer.port, "open-1k", RATE, 1)
            result = bench.load.open_loop(peer.port, "open-1k", RATE, bench.options.seconds)
            if other:
                other.join()
            if failures:
                raise failures[0]
            rounds.append({"req/s": result["rate"], "p50 ms": result["p50"] / 1000, "p99 ms": result["p99"] / 1000})
    return medians_of(rounds)
