package dtgate.naming_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.naming

test_a_name_that_follows_the_pattern_passes if {
	every name in ["payments-prod-ci", "ab-dev-0", "a1-stage-load-test-2", "ops-test-x"] {
		count(_denied(requests.create({"name": name}))) == 0
		count(_denied(requests.update({"name": name}))) == 0
	}
}

test_no_name_in_an_update_passes if {
	count(_denied(requests.update({}))) == 0
	count(_denied(requests.documented)) == 0
	count(_denied(requests.delete)) == 0
}

test_other_names_are_denied if {
	every name in [
		"",
		" ",
		"myToken",
		"Payments-prod-ci",
		"payments-PROD-ci",
		"payments-production-ci",
		"payments-prod-",
		"payments-prod",
		"p-prod-ci",
		"1payments-prod-ci",
		"payments-prod-ci ",
		" payments-prod-ci",
		"payments-prod-ci\n",
		"payments-prod-ci\nx",
		"pa\u0443ments-prod-ci",
		"payments\u2010prod\u2010ci",
		"payments-prod-zahlungen-\u00fc",
	] {
		requests.codes(_denied(requests.create({"name": name}))) == {"name-pattern"}
		requests.codes(_denied(requests.update({"name": name}))) == {"name-pattern"}
	}
}

test_a_name_has_a_length if {
	tail := concat("", ["x" | some _ in numbers.range(1, 48)])
	count(_denied(requests.update({"name": concat("-prod-", ["payments", tail])}))) == 0
	count(_denied(requests.update({"name": concat("-prod-", ["payments", concat("", [tail, "x"])])}))) == 1
}

test_the_message_shows_a_good_name if {
	_denied(requests.update({"name": "myToken"})) == {{
		"code": "name-pattern",
		"message": concat("", [
			"name \"myToken\" does not follow the naming rule; choose one such as \"payments-prod-ci\" ",
			"(pattern ^[a-z][a-z0-9]{1,23}-(dev|test|stage|prod)-[a-z0-9][a-z0-9-]{0,47}$)",
		]),
		"path": "name",
	}}
}

test_a_new_token_needs_a_name if {
	_denied(requests.create({})) == {{
		"code": "name-missing",
		"message": "a new token needs a name; choose one such as \"payments-prod-ci\"",
		"path": "name",
	}}
}

test_unusable_settings_deny_everything if {
	every settings in [
		{},
		{"pattern": 7, "example": "x"},
		{"example": "x"},
		{"pattern": ".*"},
		{"pattern": ".*", "example": 7},
	] {
		denied := naming.deny with input as requests.update({"name": "anything"})
			with data.guardrails.naming as settings
		"unusable-setting" in requests.codes(denied)
	}
}

test_the_unusable_setting_is_named if {
	pattern := naming.deny with input as requests.delete with data.guardrails.naming as {"pattern": null, "example": "x"}
	example := naming.deny with input as requests.delete with data.guardrails.naming as {"pattern": ".*", "example": 7}
	some pattern_message in requests.messages(pattern)
	startswith(pattern_message, "data.guardrails.naming.pattern must be a regular expression;")
	some example_message in requests.messages(example)
	startswith(example_message, "data.guardrails.naming.example must be text;")
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"name": 7}))) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"name": ["payments-prod-ci"]}))) == {"unreadable-request"}
	requests.codes(_denied({})) == {"unreadable-request"}
}

_denied(request) := denied if {
	denied := naming.deny with input as request
		with data.guardrails.naming as {
			"pattern": "^[a-z][a-z0-9]{1,23}-(dev|test|stage|prod)-[a-z0-9][a-z0-9-]{0,47}$",
			"example": "payments-prod-ci",
		}
}
