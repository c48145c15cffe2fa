package dtgate.globs_test

import data.dtgate.asks_test as asks
import data.dtgate.globs

test_denies if {
	denied := globs.deny with input as asks.create("a", ["settings.write", "settings.a.write", "logs.read"])
	denied == {"settings.write is closed by settings.*", "logs.read is closed by {logs,spans}.read"}
}

test_allows if count(globs.deny) == 0 with input as asks.create("a", ["slo.read"])
