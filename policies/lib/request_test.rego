package dtgate.lib_test

import data.dtgate.lib
import data.dtgate.lib.requests_test as requests

test_well_formed_requests_are_readable if {
	every request in [
		requests.documented,
		requests.create({"name": "payments-prod-ci", "scopes": ["metrics.read"], "enabled": true}),
		requests.update({}),
		requests.update({"enabled": false, "scopes": []}),
		requests.delete,
		requests.from(requests.delete, null),
		requests.from(requests.delete, {"id": null, "kind": "unknown"}),
	] {
		count(lib.unreadable) == 0 with input as request
	}
}

test_a_value_of_the_wrong_type_is_unreadable if {
	_unreadable(requests.update({"name": 7})) == {"name"}
	_unreadable(requests.update({"enabled": "true"})) == {"enabled"}
	_unreadable(requests.update({"scopes": "WriteConfig"})) == {"scopes"}
	_unreadable(requests.update({"scopes": {"0": "WriteConfig"}})) == {"scopes"}
	_unreadable(requests.update({"scopes": ["metrics.read", 7]})) == {"scopes"}
	_unreadable(requests.update({"scopes": [["WriteConfig"]]})) == {"scopes"}
	_unreadable(requests.update({"scopes": [null]})) == {"scopes"}
	_unreadable(requests.from(requests.delete, {"id": 7})) == {"caller"}
	_unreadable(requests.from(requests.delete, {})) == {"caller"}
	_unreadable(requests.from(requests.delete, requests.caller_id)) == {"caller"}
}

test_a_missing_part_is_unreadable if {
	_unreadable({}) == {"operation", "id", "name", "enabled", "scopes", "caller"}
	_unreadable(object.remove(requests.delete, ["change"])) == {"name", "enabled", "scopes"}
}

test_a_change_needs_a_token_id_and_a_creation_has_none if {
	_unreadable(object.union(requests.delete, {"token": null})) == {"id"}
	_unreadable(object.union(requests.update({}), {"token": {"id": 7}})) == {"id"}
	count(_unreadable(requests.create({}))) == 0
}

test_an_operation_that_no_policy_was_written_for_is_unreadable if {
	_unreadable(object.union(requests.delete, {"operation": "token.rotate"})) == {"operation"}
	_unreadable(object.union(requests.delete, {"operation": "TOKEN.DELETE"})) == {"operation"}
}

test_the_scopes_asked_for_are_a_list_in_any_case if {
	_asked(requests.update({"scopes": ["a", "b"]})) == ["a", "b"]
	_asked(requests.update({"scopes": []})) == []
	_asked(requests.delete) == []
	_asked(requests.update({"scopes": "a"})) == []
	_asked(requests.update({"scopes": ["a", 7]})) == []
	_asked({}) == []
}

test_the_message_says_what_was_expected if {
	found := lib.unreadable with input as requests.update({"enabled": "true"})
	found == {{
		"code": "unreadable-request",
		"message": concat("", [
			"the policies cannot read this request: enabled must be true, false or null; ",
			"report this to whoever runs the gate",
		]),
		"path": "enabled",
	}}
}

test_only_a_creation_creates if {
	lib.creating with input as requests.create({})
	not lib.creating with input as requests.update({})
	not lib.creating with input as requests.delete
}

test_an_unusable_setting_is_named if {
	lib.unusable_setting("guardrails.x", "a number") == {
		"code": "unusable-setting",
		"message": "data.guardrails.x must be a number; nothing passes this policy until whoever runs the gate corrects it",
	}
}

test_texts_are_lists_of_strings_only if {
	lib.texts([])
	lib.texts(["a", "b"])
	not lib.texts(["a", 1])
	not lib.texts("a")
	not lib.texts({"a": "b"})
	not lib.texts(null)
}

_unreadable(request) := found if {
	violations := lib.unreadable with input as request
	found := requests.paths(violations)
}

_asked(request) := scopes if {
	scopes := lib.asked_scopes with input as request
}
