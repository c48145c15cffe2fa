package dtgate.grants_test

import data.dtgate.grants
import data.dtgate.lib.requests_test as requests

powerful := object.union(requests.existing, {"scopes": ["WriteConfig", "metrics.read"]})

asking := requests.update({"scopes": ["WriteConfig"]})

test_a_grant_is_denied if {
	count(grants.deny) == 2 with input as requests.create({"name": "a", "scopes": ["WriteConfig"]})
	grants.deny == {"nobody grants WriteConfig"} with input as requests.known(asking, requests.existing)
	grants.deny == {"nobody asks for WriteConfig"} with input as asking
}

test_what_it_has_it_keeps if {
	count(grants.deny) == 0 with input as requests.known(asking, powerful)
	grants.warn == {"takes metrics.read away"} with input as requests.known(asking, powerful)
}

test_other_requests_pass if {
	every request in [
		requests.delete,
		requests.known(requests.delete, powerful),
		requests.update({"name": "a"}),
		requests.create({"name": "a", "scopes": ["metrics.read"]}),
	] {
		count(grants.deny) == 0 with input as request
		count(grants.warn) == 0 with input as request
	}
}
