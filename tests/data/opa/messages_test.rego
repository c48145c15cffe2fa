package dtgate.messages_test

import data.dtgate.asks_test as asks
import data.dtgate.messages

test_denies if {
	denied := messages.deny with input as asks.create("aaaaaaaaaaaaaaaaaaaaaaa", ["x", "slo.read"])
	denied == {"scope x is unknown; the name is long"}
}

test_allows if count(messages.deny) == 0 with input as asks.create("a", ["slo.read"])
