package dtgate.group_by_test

import data.dtgate.asks_test as asks
import data.dtgate.group_by

test_denies if {
	denied := group_by.deny with input as asks.create("a", ["slo.a", "slo.b", "slo.c", "logs.a"])
	denied == {"more than two scopes of slo"}
}

test_allows if count(group_by.deny) == 0 with input as asks.create("a", ["slo.a", "slo.b", "logs.a"])
