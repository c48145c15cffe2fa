package dtgate.partial_object_test

import data.dtgate.asks_test as asks
import data.dtgate.partial_object

test_denies if {
	denied := partial_object.deny with input as asks.create("a", ["a.b.c", "a.b"])
	denied == {"a.b.c has 3 parts"}
}

test_allows if count(partial_object.deny) == 0 with input as asks.create("a", ["a.b"])
