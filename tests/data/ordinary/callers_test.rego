package dtgate.callers_test

import data.dtgate.callers
import data.dtgate.lib.requests_test as requests

test_a_listed_caller_passes if {
	count(callers.deny) == 0 with input as requests.delete with data.allowed as [requests.caller_id]
}

test_another_is_denied if {
	count(callers.deny) == 1 with input as requests.delete with data.allowed as ["dt0c01.OTHER"]
	count(callers.deny) == 1 with input as requests.create({"name": "a", "scopes": []}) with data.allowed as []
}

test_who_shows_no_token_is_denied if {
	every request in [requests.delete, requests.update({}), requests.other("connection_info.read", {})] {
		count(callers.deny) == 1 with input as requests.from(request, requests.nobody) with data.allowed as [requests.caller_id]
	}
}
