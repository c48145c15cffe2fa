package dtgate.duplicates_test

import data.dtgate.asks_test as asks
import data.dtgate.duplicates

test_denies if {
	denied := duplicates.deny with input as asks.create("a", ["x", "y", "x"])
	denied == {"x stands twice"}
}

test_allows if count(duplicates.deny) == 0 with input as asks.create("a", ["x", "y"])
