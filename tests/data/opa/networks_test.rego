package dtgate.networks_test

import data.dtgate.asks_test as asks
import data.dtgate.networks

test_denies if {
	denied := networks.deny with input as asks.from("192.0.2.1")
	denied == {"192.0.2.1 is not in our networks"}
}

test_allows if count(networks.deny) == 0 with input as asks.from("10.1.2.3")
