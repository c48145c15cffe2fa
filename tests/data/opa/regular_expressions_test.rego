package dtgate.regular_expressions_test

import data.dtgate.asks_test as asks
import data.dtgate.regular_expressions

test_denies if {
	denied := regular_expressions.deny with input as asks.create("JOHN s", [])
	denied == {"name JOHN s is no word and number", "no names of people"}
}

test_allows if count(regular_expressions.deny) == 0 with input as asks.create("pay_a-07", [])
