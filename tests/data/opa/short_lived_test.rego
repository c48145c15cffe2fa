package dtgate.short_lived_test

import data.dtgate.asks_test as asks
import data.dtgate.short_lived

test_denies if {
	denied := short_lived.deny with input as asks.until("2027-01-01T00:00:00.000Z")
	denied == {"a token lives 30 days at most"}
}

test_allows if count(short_lived.deny) == 0 with input as asks.until("2026-12-01T00:00:00.000Z")
