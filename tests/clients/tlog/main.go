// Checks what dtgate signs and proves with Go's own packages for transparency logs, for tests/it/checkpoints.rs.
//
// `tree VKEY NEWEST TREE OLDER…`: checkpoints, and the file `tree` of a journal.
// `proof VKEY FILE`: what `audit prove` wrote.
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func hash(text string) tlog.Hash {
	bytes, err := base64.StdEncoding.DecodeString(text)
	check(err)
	var hash tlog.Hash
	if copy(hash[:], bytes) != tlog.HashSize {
		check(fmt.Errorf("%q is no hash", text))
	}
	return hash
}

// Opens a checkpoint: its size and its root.
func open(vkey string, text []byte) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	opened, err := note.Open(text, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		check(fmt.Errorf("unexpected text: %q", opened.Text))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

// The file `tree` is laid out as tlog.StoredHashIndex has it.
type stored []byte

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		copy(hashes[i][:], s[index*tlog.HashSize:])
	}
	return hashes, nil
}

func main() {
	text, err := os.ReadFile(os.Args[3])
	check(err)
	switch os.Args[1] {
	case "proof":
		parts := bytes.SplitN(text, []byte("\n\n"), 3)
		record := bytes.SplitN(parts[0], []byte("\n"), 2)[1]
		lines := strings.Split(string(parts[1]), "\n")
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		check(err)
		var proof tlog.RecordProof
		for _, line := range lines[2:] {
			proof = append(proof, hash(line))
		}
		tree := open(os.Args[2], parts[2])
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(record)))
	case "tree":
		// The newest checkpoint, then the file `tree`, then older checkpoints: each is the beginning of the newest.
		newest := open(os.Args[2], text)
		content, err := os.ReadFile(os.Args[4])
		check(err)
		root, err := tlog.TreeHash(newest.N, stored(content))
		check(err)
		if root != newest.Hash {
			check(fmt.Errorf("the root is %v", root))
		}
		for _, file := range os.Args[5:] {
			text, err := os.ReadFile(file)
			check(err)
			older := open(os.Args[2], text)
			proof, err := tlog.ProveTree(newest.N, older.N, stored(content))
			check(err)
			check(tlog.CheckTree(proof, newest.N, newest.Hash, older.N, older.Hash))
		}
	}
	fmt.Println("holds")
}
