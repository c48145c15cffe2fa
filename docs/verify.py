#!/usr/bin/env python3
"""Checks a journal of dtgate without dtgate: python3 verify.py JOURNAL VKEY [VKEY…]

Needs Python 3.10 and `cryptography`; for compressed segments also the program `zstd`. The keys are
those that `dtgate audit key` printed. Exit code 0: all holds. 2: not; the last line says why.
"""
import base64, functools, hashlib, json, pathlib, subprocess, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ORIGIN = {"kind": "pruned", "seq": 0, "last": 0, "hash": "0" * 64, "tree": []}
unbase = functools.partial(base64.b64decode, validate=True)

def sha256(data):
    return hashlib.sha256(data).digest()

def check(holds, why):
    if not holds:
        raise ValueError(why)

def lines(path):
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    *whole, torn = data.split(b"\n")
    check(not torn, f"{path.name} ends within a line")
    return whole

# What the first `gone` records came to, which are not there: a record further on says it.
def start_of(segments, gone):
    every = (line for _, path in segments if gone for line in lines(path))
    told = [ORIGIN, *(json.loads(line) for line in every if b'"kind":"pruned"' in line)]
    told = [it for it in told if it["kind"] == "pruned" and it["last"] >= gone]
    check(told, f"the first {gone} records are gone, and none says that they were deleted")
    return min(told, key=lambda it: (it["last"], -it["seq"]))

# RFC 6962: `roots` are those of the largest full subtrees, from the left.
def add(roots, size, line):
    node = sha256(b"\0" + line)
    while size & 1:
        node, size = sha256(b"\1" + roots.pop() + node), size >> 1
    roots.append(node)

# A note is a text, an empty line, and lines `— NAME BASE64`; a key is NAME+HASH+BASE64.
def check_signed(note, vkey):
    name, hint, key = vkey.split("+", 2)
    text, _, signatures = note.rpartition("\n\n")
    made = [line.split(" ") for line in signatures.splitlines()]
    made = {(signer, unbase(it)[:4].hex()): unbase(it)[4:] for _, signer, it in made}
    check((name, hint) in made, f"{vkey} has not signed")
    key = Ed25519PublicKey.from_public_bytes(unbase(key)[1:])
    key.verify(made[name, hint], f"{text}\n".encode())

def check_checkpoint(record, size, roots):
    node = functools.reduce(lambda node, left: sha256(b"\1" + left + node), reversed(roots))
    root = base64.b64encode(node).decode()
    told = record["size"], record["synced"], record["root"], record["note"].split("\n")[1:3]
    check(told == (size, size, root, [str(size), root]), "the checkpoint is of other records")
    check_signed(record["note"], record["key"])

# A key that is known has signed the name of the next one.
def hand_over(keys, note):
    _, old, new = note.split("\n")[:3]
    if old in keys:
        check_signed(note, old)
        keys.add(new)

def main(journal, *keys):
    journal, keys, size, proven = pathlib.Path(journal), set(keys), 0, 0
    try:
        # Where one is there in both forms, the plain one counts.
        name = "[0-9]" * 20 + ".jsonl"
        paths = [*journal.glob(name + ".zst"), *journal.glob(name)]
        segments = sorted({int(path.name[:20]): path for path in paths}.items())
        check(segments, "there are no segments")
        start = start_of(segments, segments[0][0] - 1)
        size, prev, roots = start["last"], start["hash"], [unbase(it) for it in start["tree"]]
        for note in start.get("keys", []):
            hand_over(keys, note)
        # The gate's own note of the end: it shows a cut, and a change of the last record.
        head = journal / "head"
        last, noted = head.read_text().split()[0].split(":") if head.exists() else (0, "")
        # What is about to be deleted, and still there, is stepped over.
        for first, path in [it for it in segments if it[0] > start["last"]]:
            check(first == size + 1, f"{path.name} comes next")
            for line in lines(path):
                record = json.loads(line)
                kind, seq = record["kind"], record["seq"]
                check((seq, record["prev"]) == (size + 1, prev), "the chain breaks here, or before")
                check(seq != start["seq"] or record == start, "the next one told something else")
                if kind == "checkpoint":
                    check_checkpoint(record, size, roots)
                    proven = size if record["key"] in keys else 0
                elif kind == "key":
                    hand_over(keys, record["note"])
                elif kind in ("start", "settled") and seq > start["seq"]:
                    # While the gate was down anybody could have written what is signed only now.
                    check(proven >= start["seq"], "what tells of the deleted was not signed")
                add(roots, size, line)
                size, prev = seq, sha256(line).hex()
                check(size != int(last) or prev == noted, "the file head has another hash of it")
        check(size >= int(last), f"the journal ends here, and the file head says {last}")
        check(proven, "the newest checkpoint is of a key that was not given, or there is none")
        check(proven >= start["seq"], "what tells of the deleted is not signed")
    except Exception as error:
        sys.exit(print(f"does not hold, after record {size}: {error!r}") or 2)
    proof = f"records {start['last'] + 1} to {size}; proven by the key: up to {proven}"
    print(f"holds: {proof}; head {size}:{prev}")

if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
