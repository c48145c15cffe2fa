package dtgate.default_allow_test

import data.dtgate.asks_test as asks
import data.dtgate.default_allow

test_denies if {
	denied := default_allow.deny with input as asks.delete("dt0c01.OTHER")
	denied == {"only owners delete tokens"}
}

test_allows if count(default_allow.deny) == 0 with input as asks.delete("dt0c01.OWNER")
