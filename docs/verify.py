#!/usr/bin/env python3
"""Checks a journal of dtgate without dtgate: python3 verify.py JOURNAL VKEY [VKEY…]

Needs Python 3.10 and `cryptography`; for compressed segments also the program `zstd` (or Python 3.14).
Exit code 0: all holds. 2: it does not, and the last line says why. The keys are those that `dtgate audit key` printed.
"""
import base64, hashlib, json, pathlib, subprocess, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def fail(why):
    print(f"does not hold: {why}")
    sys.exit(2)

def sha256(data):
    return hashlib.sha256(data).digest()

def lines(path):
    data = path.read_bytes()
    if path.suffix == ".zst":
        try:
            from compression import zstd
            data = zstd.decompress(data)
        except ImportError:
            data = subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout
    if data and not data.endswith(b"\n"):
        fail(f"{path.name}: the last line is torn")
    return data.split(b"\n")[:-1]

class Tree:
    """RFC 6962: the roots of the largest full subtrees, from the left."""
    def __init__(self, size=0, roots=()):
        self.size, self.roots = size, list(roots)
    def add(self, line):
        node, size = sha256(b"\0" + line), self.size
        while size & 1:
            node, size = sha256(b"\1" + self.roots.pop() + node), size >> 1
        self.roots.append(node)
        self.size += 1
    def root(self):
        node = self.roots[-1] if self.roots else sha256(b"")
        for left in self.roots[-2::-1]:
            node = sha256(b"\1" + left + node)
        return node

def signed(note, vkey):
    """Whether a key, NAME+HASH+BASE64, has signed a note: its text, an empty line, `— NAME BASE64` lines."""
    name, _, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    key_hash = sha256(name.encode() + b"\n" + key)[:4]
    text, _, signatures = note.rpartition("\n\n")
    for line in signatures.splitlines():
        dash, who, signature = line.split(" ")
        signature = base64.b64decode(signature, validate=True)
        if (dash, who, signature[:4]) == ("—", name, key_hash) and key[0] == 1:
            try:
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], (text + "\n").encode())
                return True
            except InvalidSignature:
                pass
    return False

def main(journal, *keys):
    keys, proven, foreign, start = set(keys), 0, None, None
    found = {path.name.removesuffix(".zst"): path for path in sorted(pathlib.Path(journal).glob("*.jsonl*"), reverse=True)
             if path.name.endswith((".jsonl", ".jsonl.zst"))}  # where both are there, the plain one counts
    segments = [found[name] for name in sorted(found)] or fail("there are no segments")
    first = int(segments[0].name[:20])
    if first > 1:  # Older ones were pruned: a record further on says what they were, and is itself below a checkpoint.
        pruned = (json.loads(line) for path in reversed(segments) for line in lines(path) if b'"kind":"pruned"' in line)
        start = next((it for it in pruned if it["kind"] == "pruned" and it["last"] == first - 1), None)
        start or fail(f"the records before {first} are gone, and no pruned record says what they were")
    head = pathlib.Path(journal, "head")  # A note of the gate's own: it shows a change of the last record, or a cut.
    noted = head.read_text().split()[0].split(":") if head.exists() else ["0", ""]
    tree = Tree(first - 1, [base64.b64decode(root) for root in start["tree"]] if start else [])
    prev, vouched = start["hash"] if start else "0" * 64, not start
    for path in segments:
        int(path.name[:20]) == tree.size + 1 or fail(f"{path.name}: record {tree.size + 1} comes next")
        for place, line in enumerate(lines(path), 1):
            number, at = tree.size + 1, f"{path.name}:{place}"
            try:
                record = json.loads(line)
                kind = record["kind"]
                (record["seq"], record["prev"]) == (number, prev) or fail(f"{at}: the chain breaks at record {number}, or before")
                if kind == "checkpoint":
                    origin, size, root = record["note"].split("\n")[:3]
                    told = (int(size), base64.b64decode(root)) == (number - 1, tree.root())
                    alike = (record["size"], record["root"], record["synced"]) == (int(size), root, number - 1)
                    told and alike and signed(record["note"], record["key"]) or fail(f"{at}: checkpoint {number} does not hold")
                    proven, foreign = (number - 1, None) if record["key"] in keys else (proven, number)
                elif kind == "key" and record["old"] in keys and signed(record["note"], record["old"]):
                    record["note"].startswith(f"dtgate key rotation\n{record['old']}\n{record['new']}\n\n") and keys.add(record["new"])
                vouched = vouched or record == start
            except (ValueError, KeyError, TypeError) as error:
                fail(f"{at}: record {number} is damaged: {error!r}")
            tree.add(line)
            prev = sha256(line).hex()
            number == int(noted[0]) and prev != noted[1] and fail(f"{at}: record {number} is not the one in the file head")
    tree.size < int(noted[0]) and fail(f"the journal ends with record {tree.size}, and the file head says {int(noted[0])}")
    vouched or fail("the pruned record is not in the chain")
    foreign and fail(f"the checkpoint in record {foreign} is of a key that was not given")
    proven or fail("no checkpoint is signed by a key that was given")
    print(f"holds: records {first} to {tree.size}; proven by the key: up to {proven}; head {tree.size}:{prev}")

if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) > 2 else sys.exit(__doc__)
