package dtgate.warn_only_test

import data.dtgate.asks_test as asks
import data.dtgate.warn_only

test_warns if {
	warned := warn_only.warn with input as asks.create("a", ["DataExport", "slo.read"])
	warned == {"DataExport is old: ask for metrics.read"}
}

test_silent if count(warn_only.warn) == 0 with input as asks.create("a", ["slo.read"])
