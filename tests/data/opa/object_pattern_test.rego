package dtgate.object_pattern_test

import data.dtgate.asks_test as asks
import data.dtgate.object_pattern

test_denies if {
	denied := object_pattern.deny with input as asks.create("a b", ["logs.read"])
	denied == {"no log scopes: logs.read", "no blanks: \"a b\""}
}

test_allows if count(object_pattern.deny) == 0 with input as asks.create("ab", ["slo.read"])
