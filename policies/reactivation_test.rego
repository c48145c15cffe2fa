package dtgate.reactivation_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.reactivation

test_other_changes_pass if {
	count(_denied(requests.update({}))) == 0
	count(_denied(requests.update({"enabled": false}))) == 0
	count(_denied(requests.update({"name": "payments-prod-ci", "scopes": []}))) == 0
	count(_denied(requests.documented)) == 0
	count(_denied(requests.delete)) == 0
}

test_an_enabled_new_token_passes if {
	count(_denied(requests.create({"name": "payments-prod-ci", "enabled": true}))) == 0
}

test_a_token_that_is_enabled_may_be_said_to_be_so if {
	count(_denied(requests.known(requests.update({"enabled": true}), requests.existing))) == 0
}

test_enabling_a_token_is_denied if {
	_denied(requests.update({"enabled": true})) == {{
		"code": "reactivation",
		"message": concat("", [
			"token dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA is disabled and would be revived (or nobody knows its state); ",
			"leave that out, or make a new token",
		]),
		"path": "enabled",
	}}
}

test_enabling_a_disabled_token_is_denied if {
	disabled := object.union(requests.existing, {"enabled": false})
	requests.codes(_denied(requests.known(requests.update({"enabled": true}), disabled))) == {"reactivation"}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"enabled": "true"}))) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"enabled": 1}))) == {"unreadable-request"}
	requests.codes(_denied({})) == {"unreadable-request"}
}

_denied(request) := denied if {
	denied := reactivation.deny with input as request
}
