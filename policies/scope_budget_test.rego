package dtgate.scope_budget_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.scope_budget

test_as_many_as_allowed_pass if {
	count(_denied(requests.documented, 16)) == 0
	count(_denied(requests.create({"name": "payments-prod-ci", "scopes": ["metrics.read"]}), 1)) == 0
}

test_one_more_is_denied if {
	_denied(requests.documented, 15) == {{
		"code": "scope-budget",
		"message": "too many scopes: 16 requested, 15 allowed; split the work over several tokens",
		"path": "scopes",
	}}
	count(_denied(requests.create({"name": "payments-prod-ci", "scopes": ["a", "b"]}), 1)) == 1
}

test_a_scope_that_is_repeated_counts_again if {
	count(_denied(requests.update({"scopes": ["metrics.read", "metrics.read"]}), 1)) == 1
}

test_many_scopes_are_denied if {
	scopes := [sprintf("scope%d", [i]) | some i in numbers.range(1, 2000)]
	count(_denied(requests.update({"scopes": scopes}), 12)) == 1
}

test_a_request_without_scopes_passes if {
	every request in [requests.update({}), requests.update({"scopes": []}), requests.delete] {
		count(_denied(request, 0)) == 0
	}
}

test_a_budget_of_nothing_denies_any_scope if {
	count(_denied(requests.update({"scopes": ["metrics.read"]}), 0)) == 1
}

test_an_unusable_setting_denies_everything if {
	every max in ["12", null, -1, 12.5, [12], true] {
		requests.codes(_denied(requests.update({}), max)) == {"unusable-setting"}
	}
}

test_a_missing_setting_denies_everything if {
	denied := scope_budget.deny with input as requests.documented with data.guardrails as {}
	requests.messages(denied) == {concat("", [
		"data.guardrails.scope_budget.max must be a whole number, 0 or more; ",
		"nothing passes this policy until whoever runs the gate corrects it",
	])}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"scopes": "a"}), 12)) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"scopes": {"a": 1, "b": 2}}), 1)) == {"unreadable-request"}
	requests.codes(_denied({}, 12)) == {"unreadable-request"}
}

_denied(request, max) := denied if {
	denied := scope_budget.deny with input as request with data.guardrails.scope_budget as {"max": max}
}
