package dtgate.name_is_there_test

import data.dtgate.asks_test as asks
import data.dtgate.name_is_there

test_denies if {
	denied := name_is_there.deny with input as asks.without_name
	denied == {"a new token needs a name"}
}

test_allows if count(name_is_there.deny) == 0 with input as asks.create("a", [])
