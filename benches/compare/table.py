"""What people read: aligned tables, ratios, and the goals with what was reached. Pure: text out of the report."""

import statistics

RIVALS = ["nginx", "haproxy", "envoy"]


def about(report):
    """What was measured, and how long."""
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    disk = ", ".join(f"{name} {took:.2f}" for name, took in report["sync_ms"].items())
    mode = "all peers at once" if report["at_once"] else "peers in turn"
    return (f"{report['machine']}; {mode}; {report['rounds']} rounds of {report['seconds']} s; medians\n{versions}\n"
            f"fdatasync of a small append before the run, ms: {disk}")


def case(name, measured):
    """One line a peer."""
    if measured["at_once"]:
        return _at_once(name, measured)
    if measured["driver"] not in ("wrk", "h2load"):
        return _added(name, measured)
    head = ["", "req/s", *(f"× {rival}" for rival in RIVALS), "p50 ms", "p99 ms", "p99.9 ms", "CPU µs", "core", "load",
            "MiB"]
    rows = []
    for peer, middle in measured["medians"].items():
        rows.append([
            peer, f"{middle['rate']:,.0f}", *(_ratio(measured, peer, rival) for rival in RIVALS),
            *(_ms(middle[part]) for part in ("p50", "p99", "p999")),
            f"{middle['cpu_us']:.1f}", _percent(middle["core"]), _percent(middle["load_core"]),
            f"{middle['peak_mib']:.0f}",
        ])
    return _section(f"{name}: {measured['title']}", head, rows)


def _at_once(name, measured):
    """Processor time alone: who gets how much of the core is the system's choice."""
    head = ["", "CPU µs", *(f"× {rival}" for rival in RIVALS), "least", "most", "req/s"]
    rows = []
    for peer, middle in measured["medians"].items():
        took = [one["cpu_us"] for one in measured["rounds"][peer]]
        rows.append([
            peer, f"{middle['cpu_us']:.1f}", *(_ratio(measured, peer, rival, "cpu_us") for rival in RIVALS),
            f"{min(took):.1f}", f"{max(took):.1f}", f"{middle['rate']:,.0f}",
        ])
    return _section(f"{name}: {measured['title']}; all at once on one core, CPU time a request", head, rows)


def _added(name, measured):
    """Quantiles, and how much of them is not there without the peer."""
    head = ["", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "+p50", "+p99", "+p99.9", "late p99", "CPU µs", "core"]
    rows = []
    for peer, middle in measured["medians"].items():
        rows.append([
            peer, f"{middle['rate']:,.0f}", *(_ms(middle[part]) for part in ("p50", "p99", "p999")),
            *(_ms(added(measured, peer, part)) for part in ("p50", "p99", "p999")),
            _ms(middle["late_p99"]), f"{middle['cpu_us']:.1f}", _percent(middle["core"]),
        ])
    return _section(f"{name}: {measured['title']}; + is added to `direct`, late is the load itself", head, rows)


def alone(name, rows):
    head = list(dict.fromkeys(key for row in rows for key in row))
    texts = [[_number(row.get(key)) for key in head] for row in rows]
    return _section(name, head, texts, left={"hottest"})


def ratio(measured, peer, rival, key="rate"):
    """The median over the rounds of what one makes for each of the other's, or None."""
    mine, theirs = measured["rounds"].get(peer), measured["rounds"].get(rival)
    if not mine or not theirs:
        return None
    return statistics.median(one[key] / other[key] for one, other in zip(mine, theirs) if other[key])


def added(measured, peer, quantile):
    """The median over the rounds of the microseconds that a peer adds to going straight to the upstream, or None."""
    mine, straight = measured["rounds"].get(peer), measured["rounds"].get("direct")
    if not mine or not straight:
        return None
    return statistics.median(one[quantile] - other[quantile] for one, other in zip(mine, straight))


def goals(report):
    """Each goal of the project's issue on speed, what was measured for it, and whether that is enough."""
    cases, grown = report["cases"], report["alone"]
    rows = []

    def goal(text, value, good, unit="", by_cpu=None, verdict=None):
        if value is not None:
            rows.append([text, f"{value:.2f}{unit}", "" if by_cpu is None else f"{by_cpu:.2f}",
                         verdict or _reached(good(value))])

    def rate(name, rival, least):
        value = ratio(cases[name], "dtgate", rival) if name in cases else None
        if value is not None:
            by_cpu, verdict = ratio(cases[name], rival, "dtgate", "cpu_us"), None
            # A rival that was held back and was not caught up with all the same is a verdict.
            if load_bound(cases[name], "dtgate") or (value >= least and load_bound(cases[name], rival)):
                verdict = "load-bound; by CPU " + _reached(by_cpu is not None and by_cpu >= least)
            goal(f"{name}: at least {least} × {rival}", value, lambda value: value >= least,
                 by_cpu=by_cpu, verdict=verdict)

    rate("open-1k", "nginx", 1.0)
    rate("open-1k", "haproxy", 1.0)
    rate("open-1k", "envoy", 2.5)
    rate("guarded", "envoy", 1.0)
    rate("guarded", "nginx", 0.5)
    rate("guarded", "envoy-opa", 5.0)
    if "guarded" in cases:
        goal("guarded: CPU below 45/22 of nginx's", ratio(cases["guarded"], "dtgate", "nginx", "cpu_us"),
             lambda value: value < 45 / 22)
    if "added-1000" in cases:
        extra = added(cases["added-1000"], "dtgate", "p99")
        goal("added-1000: p99 adds less than 1 ms", None if extra is None else extra / 1000, lambda value: value < 1,
             " ms")
    for row in grown.get("idle", []):
        if row["connections"] == 10_000:
            goal("idle: 10,000 connections in less than 200 MiB", row["MiB"], lambda value: value < 200, " MiB")
    for name in ("idle", "journal"):
        if name in grown:
            goal(f"{name}: ready in less than 150 ms, in the worst row", max(row["ready ms"] for row in grown[name]),
                 lambda value: value < 150, " ms")
    for name, key in (("policies", "policies"), ("scopes", "scopes")):
        if name in grown:
            first, middle, last = grown[name]
            # The cost of one more must not rise: from the second size to the last as from the first to the second.
            early = (middle["CPU µs"] - first["CPU µs"]) / (middle[key] - first[key])
            late = (last["CPU µs"] - middle["CPU µs"]) / (last[key] - middle[key])
            text = f"{name}: linear, the cost of one more grows by less than half"
            if early > 0:
                goal(text, late / early, lambda value: value < 1.5)
            else:
                rows.append([text, "", "", "too small to tell"])
    if "journal" in grown:
        _empty, small, large = grown["journal"]
        goal("journal: ready as fast after ten times the records", large["ready ms"] / small["ready ms"],
             lambda value: value < 1.25)
        goal("journal: as many requests after ten times the records", large["req/s"] / small["req/s"],
             lambda value: value > 0.8)
    title = "Goals"
    return _section(title, ["", "measured", "by CPU", ""], rows, left={""}) if rows else ""


def load_bound(measured, peer):
    """Whether the load's core was full while the peer's was not: more was never asked of it."""
    middle = measured["medians"][peer]
    return middle["load_core"] >= 0.97 and middle["core"] < 0.9


def _reached(good):
    return "reached" if good else "NOT REACHED"


def _section(title, head, rows, left=()):
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["", title, ""]
    for row in [head, *rows]:
        cells = [text.ljust(width) if number == 0 or head[number] in left else text.rjust(width)
                 for number, (text, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _ratio(measured, peer, rival, key="rate"):
    value = ratio(measured, peer, rival, key)
    return "" if value is None or peer == rival else f"{value:.2f}"


def _ms(micros):
    return "" if micros is None else f"{micros / 1000:.2f}"


def _percent(part):
    return f"{part:.0%}"


def _number(value):
    if value is None:
        return ""
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
