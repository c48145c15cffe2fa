package dtgate.unknown_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.unknown

test_what_is_unknown_is_denied if {
	unknown.deny == {"what is note?"} with input as requests.update({"unknown": {"note": null}})
	count(unknown.deny) == 4 with input as requests.update({"unknown": {"note": 1, "owner": "me"}})
}

test_others_pass if {
	every request in [requests.update({"name": "a"}), requests.create({"name": "a", "scopes": []}), requests.delete] {
		count(unknown.deny) == 0 with input as request
	}
}
