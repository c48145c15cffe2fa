package dtgate.revival_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.revival

disabled := object.union(requests.existing, {"enabled": false})

test_a_disabled_token_stays if {
	count(revival.deny) == 1 with input as requests.known(requests.update({"enabled": true}), disabled)
	count(revival.deny) == 1 with input as requests.update({"enabled": true})
}

test_an_enabled_one_may_say_so if {
	count(revival.deny) == 0 with input as requests.known(requests.update({"enabled": true}), requests.existing)
}

test_other_requests_pass if {
	every request in [requests.update({"enabled": false}), requests.update({"name": "a"}), requests.delete] {
		count(revival.deny) == 0 with input as request
		count(revival.deny) == 0 with input as requests.known(request, disabled)
	}
	count(revival.deny) == 0 with input as requests.create({"name": "a", "scopes": [], "enabled": true})
}
