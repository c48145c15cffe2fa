package dtgate.array_pattern_test

import data.dtgate.array_pattern
import data.dtgate.asks_test as asks

test_denies if {
	denied := array_pattern.deny with input as asks.create("foo-prod", [])
	denied == {"foo may not name tokens for prod"}
}

test_allows if {
	every name in ["pay-prod", "foo-dev", "foo-prod-x", "foo"] {
		count(array_pattern.deny) == 0 with input as asks.create(name, [])
	}
}
