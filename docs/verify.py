#!/usr/bin/env python3
"""Checks a journal of dtgate without dtgate: python3 verify.py JOURNAL VKEY [VKEY…]

Needs Python 3.10 and `cryptography`; for compressed segments also the program `zstd`.
Exit code 0: all holds. 2: it does not, and the last line says why. The keys are those that `dtgate audit key` printed.
"""
import base64, hashlib, json, pathlib, subprocess, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

sha256 = lambda data: hashlib.sha256(data).digest()
unbase = lambda text: base64.b64decode(text, validate=True)

def check(holds, why):
    if not holds:
        sys.exit(print(f"does not hold: {why}") or 2)

def lines(path):
    zstd = path.suffix == ".zst" and subprocess.run(["zstd", "-dcq", path], capture_output=True)
    check(not zstd or zstd.returncode == 0, f"{path.name} cannot be decompressed")
    data = zstd.stdout if zstd else path.read_bytes()
    check(not data or data.endswith(b"\n"), f"{path.name}: the last line is torn")
    return data.split(b"\n")[:-1]

def add(roots, size, line):  # RFC 6962: `roots` are those of the largest full subtrees, from the left.
    node = sha256(b"\0" + line)
    while size & 1:
        node, size = sha256(b"\1" + roots.pop() + node), size >> 1
    roots.append(node)

def root(roots):
    node = roots[-1] if roots else sha256(b"")
    for left in roots[-2::-1]:
        node = sha256(b"\1" + left + node)
    return base64.b64encode(node).decode()

def signed(note, vkey):  # A note is a text, an empty line, and lines `— NAME BASE64`; a key is NAME+HASH+BASE64.
    name, _, key = vkey.split("+", 2)
    hint = sha256(name.encode() + b"\n" + unbase(key))[:4]
    text, _, signatures = note.rpartition("\n\n")
    ours = (unbase(line.split(" ")[2]) for line in signatures.splitlines() if line.startswith(f"— {name} "))
    try:
        ours = next(signature[4:] for signature in ours if signature[:4] == hint)
        Ed25519PublicKey.from_public_bytes(unbase(key)[1:]).verify(ours, (text + "\n").encode())
        return True
    except (StopIteration, InvalidSignature):
        return False

def handed_over(keys, note):  # A key that is known has signed the name of the next one.
    _, old, new = [*note.split("\n"), "", ""][:3]
    return {new} if old in keys and signed(note, old) else set()

def main(journal, *keys):
    keys, proven, foreign, start, by = set(keys), 0, None, None, 0
    # Where a segment is there in both forms, the plain one counts.
    segments = list({path.name[:20]: path for path in sorted(pathlib.Path(journal).glob("*.jsonl*"), reverse=True)
                     if path.name[20:] in (".jsonl", ".jsonl.zst")}.values())[::-1]
    check(segments, "there are no segments")
    size = int(segments[0].name[:20]) - 1  # of what was deleted: a record further on says what that was
    for path in segments if size else []:
        said = [json.loads(line) for line in lines(path) if b'"kind":"pruned"' in line]
        said = [it for it in said + [start] if it and it["kind"] == "pruned" and it["last"] >= size]
        start = min(said, key=lambda it: (it["last"], -it["seq"]), default=None)
    check(start or not size, f"the first {size} records are gone, and no record says that they were deleted")
    if start:  # what is about to be deleted, and still there, is stepped over
        size, segments = start["last"], [path for path in segments if int(path.name[:20]) > start["last"]]
        check(segments, "all that is there is said to be deleted")
    for note in start.get("keys", []) if start else []:  # of `key` records that were deleted
        keys |= handed_over(keys, note)
    prev, roots = (start["hash"], [unbase(it) for it in start["tree"]]) if start else ("0" * 64, [])
    noted = pathlib.Path(journal, "head")  # a note of the gate's own: it shows a cut, and a change of the last record
    noted, wanted = noted.read_text().split()[0].split(":") if noted.exists() else ("0", None)
    for path in segments:
        check(int(path.name[:20]) == size + 1, f"{path.name}: record {size + 1} comes next")
        for line in lines(path):
            try:
                record = json.loads(line)
                kind, place = record["kind"], (record["seq"], record["prev"])
                check(place == (size + 1, prev), f"{path.name}: the chain breaks at record {size + 1}, or before")
                if kind == "checkpoint":
                    key, told = record["key"], (record["size"], record["synced"], record["note"].split("\n")[1:3])
                    holds = told == (size, size, [str(size), record["root"]]) and record["root"] == root(roots)
                    check(holds and signed(record["note"], key), f"checkpoint {size + 1} does not hold")
                    proven, foreign = (size, None) if key in keys else (proven, size + 1)
                elif kind == "key":
                    keys |= handed_over(keys, record["note"])
                by = size + 1 if record == start else by
                # What is signed only after the next start, anybody can have written while the gate was down.
                by = 0 if kind in ("start", "settled") and by > proven else by
            except (ValueError, KeyError, TypeError, IndexError) as error:
                check(False, f"{path.name}: record {size + 1} is damaged: {error!r}")
            add(roots, size, line)
            size, prev = size + 1, sha256(line).hex()
            check(size != int(noted) or prev == wanted, f"record {size} is not the one in the file head")
    check(size >= int(noted), f"the journal ends with record {size}, and the file head says {int(noted)}")
    check(not foreign, f"the checkpoint in record {foreign} is of a key that was not given")
    check(proven, "no checkpoint is signed by a key that was given")
    check(not start or 0 < by <= proven, "the record that says what was deleted was not signed before something else was")
    print(f"holds: records {int(segments[0].name[:20])} to {size}; proven by the key: up to {proven}; head {size}:{prev}")

if __name__ == "__main__":
    try:
        main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:  # in what says that others were deleted, or in the head
        check(False, f"a record is damaged: {error!r}")
