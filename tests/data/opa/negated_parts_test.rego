package dtgate.negated_parts_test

import data.dtgate.asks_test as asks
import data.dtgate.negated_parts

test_denies if {
	denied := negated_parts.deny with input as asks.create("other-1", [])
	count(denied) == 1
}

test_allows if count(negated_parts.deny) == 0 with input as asks.create("ticket-17", [])
