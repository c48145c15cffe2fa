package dtgate.set_difference_test

import data.dtgate.asks_test as asks
import data.dtgate.set_difference

test_denies if {
	denied := set_difference.deny with input as asks.create("a", ["slo.write", "metrics.read", "a.b"])
	denied == {"not for readers: a.b, slo.write"}
}

test_allows if count(set_difference.deny) == 0 with input as asks.create("a", ["metrics.read"])
