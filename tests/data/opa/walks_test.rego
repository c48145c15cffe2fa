package dtgate.walks_test

import data.dtgate.asks_test as asks
import data.dtgate.walks

test_denies if {
	request := object.union(asks.create("a", []), {"unknown_members": {"a": [{"b": "my password"}]}})
	denied := walks.deny with input as request
	denied == {"no passwords in a.0.b"}
}

test_allows if count(walks.deny) == 0 with input as asks.create("a", [])
