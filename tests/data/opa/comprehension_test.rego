package dtgate.comprehension_test

import data.dtgate.asks_test as asks
import data.dtgate.comprehension

test_denies if {
	denied := comprehension.deny with input as asks.create("a", ["slo.write", "metrics.read", "WriteConfig"])
	denied == {"2 scopes write: slo.write, WriteConfig"}
}

test_allows if count(comprehension.deny) == 0 with input as asks.create("a", ["slo.write"])
