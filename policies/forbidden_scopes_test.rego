package dtgate.forbidden_scopes_test

import data.dtgate.forbidden_scopes
import data.dtgate.lib.requests_test as requests

test_other_scopes_pass if {
	count(_denied(requests.update({"scopes": ["ReadConfig", "metrics.read", "apiTokens.read"]}))) == 0
	count(_denied(requests.create({"name": "payments-prod-ci", "scopes": ["metrics.read"]}))) == 0
}

test_a_request_without_scopes_passes if {
	count(_denied(requests.update({}))) == 0
	count(_denied(requests.update({"scopes": []}))) == 0
	count(_denied(requests.delete)) == 0
}

test_a_forbidden_scope_is_denied_where_it_stands if {
	_denied(requests.update({"scopes": ["ReadConfig", "WriteConfig"]})) == {{
		"code": "forbidden-scope",
		"message": "scope \"WriteConfig\" may not be granted; leave it out of the request",
		"path": "scopes[1]",
	}}
}

test_a_forbidden_scope_is_denied_on_creation_too if {
	requests.paths(_denied(requests.create({"name": "payments-prod-ci", "scopes": ["WriteConfig"]}))) == {"scopes[0]"}
}

test_every_forbidden_scope_is_named if {
	requests.paths(_denied(requests.documented)) == {"scopes[2]", "scopes[13]"}
	requests.paths(_denied(requests.update({"scopes": ["WriteConfig", "WriteConfig"]}))) == {"scopes[0]", "scopes[1]"}
}

test_a_disguised_forbidden_scope_is_denied if {
	disguised := [
		"writeconfig",
		"WRITECONFIG",
		" WriteConfig",
		"WriteConfig\n",
		"Writ\u0435Config",
		"Write\u200bConfig",
		"APITOKENS.WRITE",
	]
	denied := _denied(requests.update({"scopes": disguised}))
	requests.codes(denied) == {"forbidden-scope-disguised"}
	requests.paths(denied) == {sprintf("scopes[%d]", [i]) | some i, _ in disguised}
	requests.messages(_denied(requests.update({"scopes": ["writeconfig"]}))) == {concat("", [
		"scope \"writeconfig\" reads as one that may not be granted; ",
		"leave it out of the request",
	])}
}

test_a_known_scope_is_never_taken_for_a_disguise if {
	denied := forbidden_scopes.deny with input as requests.update({"scopes": ["ReadConfig"]})
		with data.guardrails.forbidden_scopes as ["readconfig"]
	count(denied) == 0
}

test_a_forbidden_scope_outside_the_catalogue_is_denied_once if {
	denied := forbidden_scopes.deny with input as requests.update({"scopes": ["Brand.new"]})
		with data.guardrails.forbidden_scopes as ["Brand.new"]
	requests.codes(denied) == {"forbidden-scope"}
}

test_part_of_a_forbidden_name_is_not_forbidden if {
	count(_denied(requests.update({"scopes": ["WriteConfigs", "Write", "write"]}))) == 0
}

test_an_unusable_list_denies_everything if {
	every list in [null, "WriteConfig", {"WriteConfig": "why"}, ["WriteConfig", 7]] {
		denied := forbidden_scopes.deny with input as requests.update({})
			with data.guardrails.forbidden_scopes as list
		requests.codes(denied) == {"unusable-setting"}
	}
}

test_a_missing_list_denies_everything if {
	denied := forbidden_scopes.deny with input as requests.update({}) with data.guardrails as {}
	requests.codes(denied) == {"unusable-setting"}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"scopes": "WriteConfig"}))) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"scopes": [7, ["WriteConfig"]]}))) == {"unreadable-request"}
	requests.codes(_denied({})) == {"unreadable-request"}
}

_denied(request) := denied if {
	denied := forbidden_scopes.deny with input as request
		with data.guardrails.forbidden_scopes as ["WriteConfig", "TenantTokenManagement", "apiTokens.write"]
}
