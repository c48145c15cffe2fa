package dtgate.envoy_shape_test

import data.dtgate.asks_test as asks
import data.dtgate.envoy_shape

test_denies if {
	denied := envoy_shape.deny with input as asks.http("DELETE", "python-requests/2")
	denied == {"nobody deletes by script"}
}

test_allows if count(envoy_shape.deny) == 0 with input as asks.http("DELETE", "curl/8")
