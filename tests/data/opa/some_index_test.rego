package dtgate.some_index_test

import data.dtgate.asks_test as asks
import data.dtgate.some_index

test_denies if {
	denied := some_index.deny with input as asks.create("a", ["metrics.read", "slo.write"])
	denied == {{"message": "scope number 2 writes: slo.write", "path": "scopes[1]"}}
}

test_allows if count(some_index.deny) == 0 with input as asks.create("a", ["slo.read"])
