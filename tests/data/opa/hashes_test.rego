package dtgate.hashes_test

import data.dtgate.asks_test as asks
import data.dtgate.hashes

test_denies if {
	denied := hashes.deny with input as asks.create("Root", [])
	denied == {"this name is reserved"}
}

test_allows if count(hashes.deny) == 0 with input as asks.create("a", [])
