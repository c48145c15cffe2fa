package dtgate.every_scope_test

import data.dtgate.asks_test as asks
import data.dtgate.every_scope

test_denies if {
	denied := every_scope.deny with input as asks.create("ro-x", ["slo.read", "slo.write"])
	denied == {"tokens called ro only read"}
}

test_allows if count(every_scope.deny) == 0 with input as asks.create("ro-x", ["slo.read"])
