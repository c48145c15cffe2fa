package dtgate.admin_scopes_test

import data.dtgate.admin_scopes
import data.dtgate.asks_test as asks

test_denies if {
	denied := admin_scopes.deny with input as asks.create("a", ["WriteConfig", "ReadConfig"])
	denied == {"scope WriteConfig is for administrators"}
}

test_allows if count(admin_scopes.deny) == 0 with input as asks.create("a", ["ReadConfig"])
