package dtgate.tiers_test

import data.dtgate.asks_test as asks
import data.dtgate.tiers

test_denies if {
	denied := tiers.deny with input as asks.create("a", ["slo.write", "logs.write", "odd"])
	denied == {"these scopes weigh 13, 10 are allowed"}
}

test_allows if count(tiers.deny) == 0 with input as asks.create("a", ["slo.write", "logs.read"])
