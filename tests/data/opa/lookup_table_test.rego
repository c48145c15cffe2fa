package dtgate.lookup_table_test

import data.dtgate.asks_test as asks
import data.dtgate.lookup_table

test_denies if {
	denied := lookup_table.deny with input as asks.create("pay-x", ["slo.read", "slo.write"])
	denied == {"team pay may not have slo.write"}
}

test_allows if count(lookup_table.deny) == 0 with input as asks.create("pay-x", ["slo.read"])
