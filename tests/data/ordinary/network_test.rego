package dtgate.network_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.network

from(address) := object.union(requests.delete, {"caller": {"address": address}})

test_from_our_network if {
	count(network.deny) == 0 with input as requests.delete with data.networks as ["10.0.0.0/8"]
	count(network.deny) == 0 with input as from("2001:db8::1") with data.networks as ["10.0.0.0/8", "2001:db8::/32"]
}

test_from_elsewhere if {
	count(network.deny) == 1 with input as from("192.0.2.1") with data.networks as ["10.0.0.0/8"]
	count(network.deny) == 1 with input as from("2001:db8::1") with data.networks as ["10.0.0.0/8"]
	count(network.deny) == 1 with input as requests.from(from("192.0.2.1"), requests.nobody) with data.networks as []
}
