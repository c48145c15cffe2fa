package dtgate.names_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.names

test_a_name_with_the_prefix_passes if {
	count(names.deny) == 0 with input as requests.create({"name": "team-a", "scopes": ["metrics.read"]})
	count(names.deny) == 0 with input as requests.update({"name": "team-a"})
}

test_a_name_without_it_is_denied if {
	count(names.deny) == 1 with input as requests.create({"name": "a", "scopes": ["metrics.read"]})
	count(names.deny) == 1 with input as requests.update({"name": ""})
}

test_what_has_no_name_passes if {
	count(names.deny) == 0 with input as requests.update({"scopes": ["metrics.read"]})
	count(names.deny) == 0 with input as requests.delete
	count(names.deny) == 0 with input as requests.known(requests.delete, requests.existing)
	count(names.deny) == 0 with input as requests.other("tenant_token_rotation.start", {})
}
