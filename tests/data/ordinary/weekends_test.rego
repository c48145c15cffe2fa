package dtgate.weekends_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.weekends

at(request, time) := object.union(request, {"time": time})

test_not_on_sunday if {
	weekends.deny == {"nothing is deleted on a Sunday"} with input as at(requests.delete, "2026-11-29T10:00:00.000Z")
	count(weekends.deny) == 0 with input as at(requests.delete, "2026-11-27T10:00:00.000Z")
}

test_changes_pass if {
	count(weekends.deny) == 0 with input as at(requests.update({"name": "a"}), "2026-11-29T10:00:00.000Z")
}
