package dtgate.object_get_test

import data.dtgate.asks_test as asks
import data.dtgate.object_get

test_denies if {
	denied := object_get.deny with input as asks.without_name
	denied == {"tokens without a name have no scopes"}
}

test_allows if count(object_get.deny) == 0 with input as asks.create("a", ["x"])
