package dtgate.added_scopes_test

import data.dtgate.added_scopes
import data.dtgate.asks_test as asks

test_denies if {
	denied := added_scopes.deny with input as asks.update(["a"], ["a", "WriteConfig"])
	denied == {{"message": "an update may not add WriteConfig", "code": "added", "path": "scopes"}}
}

test_allows if count(added_scopes.deny) == 0 with input as asks.update(["WriteConfig"], ["WriteConfig", "b"])
