package dtgate.protected_tokens_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.protected_tokens

other := {"ids": ["dt0c01.BBBBBBBBBBBBBBBBBBBBBBBB"], "names": []}

by_id := {"ids": ["dt0c01.BBBBBBBBBBBBBBBBBBBBBBBB", requests.token_id], "names": []}

by_name := {"ids": [], "names": ["other", "ops-prod-breakglass"]}

test_tokens_that_are_not_listed_pass if {
	every request in [
		requests.delete,
		requests.update({"name": "a", "enabled": false, "scopes": []}),
		requests.create({"name": "payments-prod-ci", "enabled": false, "scopes": []}),
		requests.documented,
	] {
		count(_denied(request, other)) == 0
		count(_denied(request, {"ids": [], "names": []})) == 0
	}
}

test_a_protected_token_may_still_get_other_scopes if {
	count(_denied(requests.update({"scopes": ["metrics.read"]}), by_id)) == 0
	count(_denied(requests.update({"enabled": true}), by_id)) == 0
	count(_denied(requests.update({}), by_id)) == 0
}

test_a_protected_token_may_not_be_deleted if {
	_denied(requests.delete, by_id) == {{
		"code": "protected-token",
		"message": concat("", [
			"token dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA is protected and may not be deleted; ",
			"leave that out of the request, or ask whoever runs the gate",
		]),
		"path": "id",
	}}
}

test_a_protected_token_may_not_be_revoked if {
	_whats(_denied(requests.update({"enabled": false}), by_id)) == {["enabled", "revoked"]}
}

test_a_protected_token_may_not_be_renamed if {
	_whats(_denied(requests.update({"name": "payments-prod-ci"}), by_id)) == {["name", "renamed"]}
	_whats(_denied(requests.update({"name": ""}), by_id)) == {["name", "renamed"]}
	_whats(_denied(_named(requests.update({"name": "new"}), "ops-prod-breakglass"), by_id)) == {["name", "renamed"]}
}

test_sending_the_present_name_again_is_no_renaming if {
	count(_denied(_named(requests.update({"name": "ops-prod-breakglass"}), "ops-prod-breakglass"), by_id)) == 0
}

test_a_protected_token_may_not_be_emptied_of_scopes if {
	_whats(_denied(requests.update({"scopes": []}), by_id)) == {["scopes", "emptied of scopes"]}
}

test_everything_wrong_is_named_at_once if {
	_whats(_denied(requests.update({"name": "x", "enabled": false, "scopes": []}), by_id)) == {
		["name", "renamed"],
		["enabled", "revoked"],
		["scopes", "emptied of scopes"],
	}
}

test_case_makes_no_other_token if {
	count(_denied(requests.delete, {"ids": [lower(requests.token_id)], "names": []})) == 1
}

test_a_token_is_protected_by_its_present_name if {
	_whats(_denied(_named(requests.delete, "ops-prod-breakglass"), by_name)) == {["id", "deleted"]}
	_whats(_denied(_named(requests.update({"enabled": false}), "ops-prod-breakglass"), by_name)) == {["enabled", "revoked"]}
	count(_denied(_named(requests.delete, "payments-prod-ci"), by_name)) == 0
}

test_a_protected_name_is_for_its_token_only if {
	every request in [
		requests.known(requests.update({"name": "ops-prod-breakglass"}), requests.existing),
		requests.create({"name": "ops-prod-breakglass", "scopes": []}),
	] {
		requests.codes(_denied(request, by_name)) == {"protected-name"}
	}
}

test_without_its_name_no_token_is_known_to_be_unprotected if {
	every request in [requests.delete, requests.update({"enabled": false}), requests.update({"scopes": ["metrics.read"]})] {
		requests.codes(_denied(request, by_name)) == {"protected-name-unknown"}
		requests.codes(_denied(requests.known(request, requests.existing), by_name)) == set()
	}
}

test_what_terraform_repeats_touches_no_protected_token if {
	again := object.union(requests.existing, {"scopes": ["entities.read", "metrics.read"]})
	count(_denied(requests.known(requests.update(again), requests.existing), by_id)) == 0
	off := requests.known(requests.update({"enabled": false}), object.union(requests.existing, {"enabled": false}))
	count(_denied(off, by_id)) == 0
}

test_a_token_is_protected_under_all_its_ids if {
	uuid := object.union(requests.delete, {"token": {"id": "d5836312-5790-4e80-afcf-09971954c3ea"}})
	count(_denied(uuid, by_id)) == 0
	_whats(_denied(requests.known(uuid, requests.existing), by_id)) == {["id", "deleted"]}
}

test_unusable_settings_deny_everything if {
	every settings in [
		{},
		{"ids": []},
		{"names": []},
		{"ids": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA", "names": []},
		{"ids": [7], "names": []},
		{"ids": [], "names": "x"},
		{"ids": [], "names": [null]},
	] {
		requests.codes(_denied(requests.update({}), settings)) == {"unusable-setting"}
		requests.codes(_denied(_named(requests.update({}), "x"), settings)) == {"unusable-setting"}
	}
}

test_the_unusable_setting_is_named if {
	starts := {start |
		some message in requests.messages(_denied(requests.delete, {}))
		start := split(message, " must be ")[0]
	}
	starts == {"data.guardrails.protected_tokens.ids", "data.guardrails.protected_tokens.names"}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"enabled": "false"}), by_id)) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"scopes": ""}), by_id)) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"name": 7}), by_id)) == {"unreadable-request"}
	requests.codes(_denied(object.union(requests.delete, {"token": {"id": 7}}), by_id)) == {"unreadable-request"}
	requests.codes(_denied({}, by_id)) == {"unreadable-request"}
}

_named(request, name) := object.union(request, {"change": {"name": {"current": name}}})

_whats(violations) := {[violation.path, what] |
	some violation in violations
	violation.code == "protected-token"
	what := trim_suffix(
		split(violation.message, "may not be ")[1],
		"; leave that out of the request, or ask whoever runs the gate",
	)
}

_denied(request, settings) := denied if {
	denied := protected_tokens.deny with input as request with data.guardrails.protected_tokens as settings
}
