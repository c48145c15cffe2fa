package dtgate.budget_test

import data.dtgate.budget
import data.dtgate.lib.requests_test as requests

test_too_many if {
	asked := ["a.read", "b.read", "c.read", "d.read"]
	budget.deny == {"4 scopes are too many"} with input as requests.create({"scopes": asked})
	budget.deny == {"4 scopes are too many"} with input as requests.known(requests.update({"scopes": asked}), requests.existing)
}

test_only_reading if {
	budget.deny == {"only reading"} with input as requests.update({"scopes": ["a.read", "logs.ingest"]})
}

test_what_asks_for_none_passes if {
	every request in [requests.delete, requests.update({"name": "a"}), requests.update({"scopes": []}), requests.other("installer.download", {})] {
		count(budget.deny) == 0 with input as request
	}
}
