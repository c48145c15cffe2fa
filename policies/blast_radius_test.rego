package dtgate.blast_radius_test

import data.dtgate.blast_radius
import data.dtgate.lib.requests_test as requests

test_up_to_the_limit_everything_passes if {
	every request in [_create, _gain, requests.delete] {
		count(_denied(requests.after(request, {"created": 1, "scopes_gained": 8, "removed": 2}), _limits)) == 0
	}
}

test_one_more_creation_is_denied if {
	_denied(requests.after(_create, {"created": 2, "scopes_gained": 0, "removed": 0}), _limits) == {{
		"code": "blast-radius",
		"message": "too many new tokens: you have made 2 within the last hour, and 2 are allowed; try again later",
		"path": "operation",
	}}
}

test_scopes_beyond_the_limit_are_denied if {
	message := concat("", [
		"too many scopes: you have given 9 within the last hour and ask for 2 more, and 10 are allowed; ",
		"try again later",
	])
	_denied(requests.after(_gain, {"created": 0, "scopes_gained": 9, "removed": 0}), _limits) == {{
		"code": "blast-radius",
		"message": message,
		"path": "scopes",
	}}
}

test_scopes_that_a_token_has_are_not_gained if {
	token := {"name": "payments-prod-ci", "enabled": true, "scopes": ["logs.read", "metrics.read"]}
	request := requests.known(_gain, token)
	count(_denied(requests.after(request, {"created": 0, "scopes_gained": 10, "removed": 0}), _limits)) == 0
}

test_one_more_removal_is_denied if {
	denied := _denied(requests.after(requests.delete, {"created": 0, "scopes_gained": 0, "removed": 3}), _limits)
	{violation.path | some violation in denied} == {"id"}
	requests.codes(denied) == {"blast-radius"}
}

test_each_limit_is_about_its_own_kind if {
	all := {"created": 100, "scopes_gained": 100, "removed": 100}
	count(_denied(requests.after(requests.update({"name": "payments-prod-ci"}), all), _limits)) == 0
	count(_denied(requests.after(requests.other("connection_info.read", {}), all), _limits)) == 0
	count(_denied(requests.after(requests.create({"name": "payments-prod-ci", "scopes": []}), all), _limits)) == 1
}

test_a_limit_of_0_is_none if {
	all := {"created": 100, "scopes_gained": 100, "removed": 100}
	off := {"created": 0, "scopes_gained": 0, "removed": 0}
	every request in [_create, _gain, requests.delete] {
		count(_denied(requests.after(request, all), off)) == 0
	}
}

test_where_nothing_is_known_nothing_was_done if {
	every request in [_create, _gain, requests.delete] {
		count(_denied(request, _limits)) == 0
	}
}

test_an_unusable_setting_denies_everything if {
	every name in ["created", "scopes_gained", "removed"] {
		every value in ["12", null, -1, 12.5, [12], true] {
			requests.codes(_denied(requests.update({}), object.union(_limits, {name: value}))) == {"unusable-setting"}
		}
	}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"scopes": "a"}), _limits)) == {"unreadable-request"}
	requests.codes(_denied({}, _limits)) == {"unreadable-request"}
}

_limits := {"created": 2, "scopes_gained": 10, "removed": 3}

_create := requests.create({"name": "payments-prod-ci", "scopes": ["metrics.read"]})

_gain := requests.update({"scopes": ["logs.read", "metrics.read"]})

_denied(request, limits) := denied if {
	denied := blast_radius.deny with input as request with data.guardrails.blast_radius as limits
}
