package dtgate.environments_test

import data.dtgate.environments
import data.dtgate.lib.requests_test as requests

of(request, members) := object.union(request, {"environment": {"data": members}})

test_a_frozen_environment_stays if {
	environments.deny == {"this environment is frozen"} with input as of(requests.delete, {"frozen": true})
	count(environments.deny) == 0 with input as of(requests.delete, {"frozen": false})
	count(environments.deny) == 0 with input as requests.delete
}

test_names_begin_with_it if {
	environments.deny == {"names here begin with prod-"} with input as requests.create({"name": "test-a"})
	count(environments.deny) == 0 with input as requests.create({"name": "prod-a"})
	count(environments.deny) == 0 with input as of(requests.create({"name": "p/a"}), {"prefix": "p/"})
	count(environments.deny) == 0 with input as requests.update({"scopes": []})
}
