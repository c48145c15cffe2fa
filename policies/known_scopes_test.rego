package dtgate.known_scopes_test

import data.dtgate.known_scopes
import data.dtgate.lib.requests_test as requests

test_current_scopes_pass_without_a_word if {
	scopes := [name | some name, scope in data.dynatrace.scopes; scope.status == "current"]
	count(scopes) == 93
	count(_denied(requests.update({"scopes": scopes}))) == 0
	count(_warned(requests.update({"scopes": scopes}))) == 0
}

test_a_request_without_scopes_passes if {
	every request in [requests.update({}), requests.update({"scopes": []}), requests.delete] {
		count(_denied(request)) == 0
		count(_warned(request)) == 0
	}
}

test_an_unknown_scope_is_denied_where_it_stands if {
	_denied(requests.create({"name": "payments-prod-ci", "scopes": ["metrics.read", "metrics.reed"]})) == {{
		"code": "scope-unknown",
		"message": concat("", [
			"scope \"metrics.reed\" is not a scope that Dynatrace is known to have; take a name from Dynatrace's list of ",
			"access token scopes, or have a new one added to guardrails.known_scopes.extra by whoever runs the gate",
		]),
		"path": "scopes[1]",
	}}
	_codes("") == {"scope-unknown"}
	_codes("openpipeline") == {"scope-unknown"}
	_codes("openpipeline.events.") == {"scope-unknown"}
}

test_every_unknown_scope_is_named if {
	requests.paths(_denied(requests.update({"scopes": ["a", "metrics.read", "b", "a"]}))) == {
		"scopes[0]",
		"scopes[2]",
		"scopes[3]",
	}
}

test_a_scope_in_the_wrong_case_is_denied_with_the_right_one if {
	requests.messages(_denied(requests.update({"scopes": ["readconfig"]}))) == {concat("", [
		"scope \"readconfig\" differs from a known scope in upper and lower case; ",
		"did you mean \"ReadConfig\"?",
	])}
	_codes("METRICS.READ") == {"scope-wrong-case"}
	_codes("Metrics.read") == {"scope-wrong-case"}
	_codes("logimport") == {"scope-wrong-case"}
	_codes("ANALYZERS.read") == {"scope-wrong-case"}
}

test_a_padded_scope_is_denied_with_the_right_one if {
	requests.messages(_denied(requests.update({"scopes": ["metrics.read "]}))) == {concat("", [
		"scope \"metrics.read \" has white space or control characters in it; ",
		"did you mean \"metrics.read\"?",
	])}
	every scope in [" metrics.read", "metrics.read\n", "\tMetrics.Read", "metrics .read", "metrics.read\u0000", " x "] {
		_codes(scope) == {"scope-white-space"}
	}
}

test_a_look_alike_is_denied_with_the_right_one if {
	every scope in ["m\u0435trics.read", "metrics.\u200bread", "metrics.read\u00a0", "\u039cetrics.read"] {
		_codes(scope) == {"scope-not-ascii"}
		some message in requests.messages(_denied(requests.update({"scopes": [scope]})))
		endswith(message, "; did you mean \"metrics.read\"?")
	}
	_codes("m\u00e9triques.lire") == {"scope-not-ascii"}
	_codes("😀") == {"scope-not-ascii"}
}

test_a_scope_of_oauth_clients_is_denied_as_such if {
	_codes("environment-api:api-tokens:write") == {"scope-not-of-tokens"}
	_codes("storage:logs:read") == {"scope-not-of-tokens"}
}

test_a_response_only_scope_cannot_be_requested if {
	_denied(requests.update({"scopes": ["ReadConfig", "ViewDashboard"]})) == {{
		"code": "scope-response-only",
		"message": concat("", [
			"scope \"ViewDashboard\" is only found on tokens that Dynatrace makes itself and cannot be requested; ",
			"leave it out",
		]),
		"path": "scopes[1]",
	}}
	every scope in ["DiagnosticExport", "MemoryDump", "Mobile", "ViewDashboard", "ViewReport", "WriteSyntheticData"] {
		_codes(scope) == {"scope-response-only"}
	}
}

test_a_scope_is_objected_to_by_its_status_alone if {
	entry := {"class": "read", "description": "Old", "replaced_by": "new.read"}
	denied := known_scopes.deny with input as requests.update({"scopes": ["old.read"]})
		with data.dynatrace.scopes as {"old.read": object.union(entry, {"status": "legacy"})}
		with data.guardrails.known_scopes as {"legacy": "warn", "extra": []}
	count(denied) == 0
	count(_warned(requests.update({"scopes": ["ViewDashboard", "openpipeline.events.security", "unknown"]}))) == 0
}

test_a_response_only_scope_is_never_suggested if {
	_codes("viewdashboard") == {"scope-unknown"}
}

test_the_scopes_of_data_lineage_are_known if {
	scopes := ["openpipeline.events_data_lineage", "openpipeline.events_data_lineage.custom"]
	count(_denied(requests.update({"scopes": scopes}))) == 0
	count(_warned(requests.update({"scopes": scopes}))) == 0
	_codes("openpipeline.events.data_lineage") == {"scope-unknown"}
}

test_a_renamed_scope_is_denied_with_the_new_name if {
	_denied(requests.update({"scopes": ["openpipeline.events.security"]})) == {{
		"code": "scope-renamed",
		"message": concat("", [
			"scope \"openpipeline.events.security\" was renamed; ",
			"ask for \"openpipeline.events_security\" instead",
		]),
		"path": "scopes[0]",
	}}
	_codes("openpipeline.events.security.custom") == {"scope-renamed"}
}

test_a_legacy_scope_passes_with_a_warning if {
	request := requests.update({"scopes": ["ReadConfig", "LogImport"]})
	count(_denied(request)) == 0
	_warned(request) == {{
		"code": "scope-legacy",
		"message": "scope \"LogImport\" (Log import) is from an older Dynatrace, which may ignore it; leave it out if you can",
		"path": "scopes[1]",
	}}
	requests.paths(_warned(requests.update({"scopes": ["analyzers.read", "analyzers.write"]}))) == {
		"scopes[0]",
		"scopes[1]",
	}
}

test_the_documented_example_is_known_and_two_of_its_scopes_are_legacy if {
	count(_denied(requests.documented)) == 0
	requests.paths(_warned(requests.documented)) == {"scopes[11]", "scopes[12]"}
	requests.codes(_warned(requests.documented)) == {"scope-legacy"}
}

test_legacy_scopes_can_be_denied if {
	denied := known_scopes.deny with input as requests.documented
		with data.guardrails.known_scopes as {"legacy": "deny", "extra": []}
	warned := known_scopes.warn with input as requests.documented
		with data.guardrails.known_scopes as {"legacy": "deny", "extra": []}
	requests.paths(denied) == {"scopes[11]", "scopes[12]"}
	count(warned) == 0
}

test_legacy_scopes_can_be_allowed if {
	denied := known_scopes.deny with input as requests.documented
		with data.guardrails.known_scopes as {"legacy": "allow", "extra": []}
	warned := known_scopes.warn with input as requests.documented
		with data.guardrails.known_scopes as {"legacy": "allow", "extra": []}
	count(denied) == 0
	count(warned) == 0
}

test_an_extra_scope_is_known_whatever_the_catalogue_says if {
	scopes := ["brand.new", "LogImport", "ViewDashboard", "openpipeline.events.security"]
	denied := known_scopes.deny with input as requests.update({"scopes": scopes})
		with data.guardrails.known_scopes as {"legacy": "deny", "extra": scopes}
	count(denied) == 0
	others := known_scopes.deny with input as requests.update({"scopes": ["Brand.new", "MaintenanceWindows"]})
		with data.guardrails.known_scopes as {"legacy": "deny", "extra": scopes}
	requests.codes(others) == {"scope-unknown", "scope-legacy"}
}

test_unusable_settings_deny_everything if {
	every settings in [
		{},
		{"legacy": "warn"},
		{"extra": []},
		{"legacy": "wran", "extra": []},
		{"legacy": true, "extra": []},
		{"legacy": "warn", "extra": "brand.new"},
		{"legacy": "warn", "extra": [7]},
	] {
		denied := known_scopes.deny with input as requests.delete with data.guardrails.known_scopes as settings
		requests.codes(denied) == {"unusable-setting"}
	}
}

test_without_a_usable_catalogue_every_scope_is_unknown if {
	every catalogue in [
		{},
		{"metrics.read": "current"},
		{"metrics.read": {}},
		{"metrics.read": {"status": "Current"}},
	] {
		denied := known_scopes.deny with input as requests.update({"scopes": ["metrics.read"]})
			with data.dynatrace.scopes as catalogue
			with data.guardrails.known_scopes as {"legacy": "warn", "extra": []}
		requests.codes(denied) == {"scope-unknown"}
	}
}

test_the_unusable_setting_is_named if {
	denied := known_scopes.deny with input as requests.delete
		with data.guardrails as {}
	starts := {start |
		some message in requests.messages(denied)
		start := split(message, " must be ")[0]
	}
	starts == {"data.guardrails.known_scopes.legacy", "data.guardrails.known_scopes.extra"}
}

test_an_entry_of_the_catalogue_with_nothing_but_a_status_is_enough if {
	denied := known_scopes.deny with input as requests.update({"scopes": ["a.read", "b.read", "c.read", "d.read"]})
		with data.dynatrace.scopes as {
			"a.read": {"status": "legacy"},
			"b.read": {"status": "renamed"},
			"c.read": {"status": "renamed", "replaced_by": null},
			"d.read": {"status": "response_only"},
		}
		with data.guardrails.known_scopes as {"legacy": "deny", "extra": []}
	requests.paths(denied) == {"scopes[0]", "scopes[1]", "scopes[2]", "scopes[3]"}
	"scope \"b.read\" was renamed; ask for it by its new name" in requests.messages(denied)
}

test_renamed_scopes_of_the_catalogue_have_a_successor if {
	every scope in [scope | some scope in data.dynatrace.scopes; scope.status == "renamed"] {
		data.dynatrace.scopes[scope.replaced_by].status == "current"
	}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"scopes": "WriteConfig"}))) == {"unreadable-request"}
	requests.codes(_denied(requests.update({"scopes": ["metrics.read", 7, null]}))) == {"unreadable-request"}
	requests.codes(_denied({})) == {"unreadable-request"}
}

_codes(scope) := requests.codes(_denied(requests.update({"scopes": [scope]})))

_denied(request) := denied if {
	denied := known_scopes.deny with input as request
		with data.guardrails.known_scopes as {"legacy": "warn", "extra": []}
}

_warned(request) := warned if {
	warned := known_scopes.warn with input as request
		with data.guardrails.known_scopes as {"legacy": "warn", "extra": []}
}
