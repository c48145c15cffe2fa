package dtgate.unify_test

import data.dtgate.asks_test as asks
import data.dtgate.unify

test_denies if {
	denied := unify.deny with input as asks.create("a", ["slo.write", "x", "slo.read"])
	denied == {"slo.read and slo.write never together"}
}

test_allows if count(unify.deny) == 0 with input as asks.create("a", ["slo.read"])
