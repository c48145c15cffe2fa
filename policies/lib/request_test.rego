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
		requests.from(requests.delete, requests.nobody),
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
	_unreadable({}) == {"operation", "name", "enabled", "scopes", "caller"}
	_unreadable(object.remove(requests.delete, ["change"])) == {"name", "enabled", "scopes"}
}

test_a_change_needs_a_token_id_and_a_creation_has_none if {
	_unreadable(object.union(requests.delete, {"token": null})) == {"id"}
	_unreadable(object.union(requests.update({}), {"token": {"id": 7}})) == {"id"}
	count(_unreadable(requests.create({}))) == 0
}

test_an_operation_is_text if {
	_unreadable(object.union(requests.delete, {"operation": 7})) == {"operation"}
	_unreadable(object.union(requests.delete, {"operation": null})) == {"operation"}
	count(_unreadable(requests.other("activegate_token.create", {}))) == 0
}

test_only_six_operations_are_about_tokens if {
	every operation in ["token.rotate", "TOKEN.DELETE", "token.lookup", "activegate_token.create", "", null] {
		not lib.about_tokens with input as {"operation": operation}
	}
	every operation in ["token.create", "cluster_token.delete"] {
		lib.about_tokens with input as {"operation": operation}
	}
}

test_what_is_kept_is_not_gained if {
	asked := requests.update({"scopes": ["metrics.read", "logs.read"]})
	gained := lib.gained with input as requests.known(asked, requests.existing)
	gained == {1: "logs.read"}
	unknown := lib.gained with input as asked
	unknown == {0: "metrics.read", 1: "logs.read"}
	new := lib.gained with input as requests.create({"scopes": ["logs.read"]})
	new == {0: "logs.read"}
}

test_only_a_new_name_renames if {
	lib.renaming with input as requests.update({"name": "n"})
	lib.renaming with input as requests.create({"name": "n"})
	lib.renaming with input as requests.known(requests.update({"name": "n"}), requests.existing)
	not lib.renaming with input as requests.known(requests.update({"name": "payments-prod-ci"}), requests.existing)
	not lib.renaming with input as requests.update({})
}

test_disabling_alone_is_told_from_other_changes if {
	lib.only_disabling with input as requests.update({"enabled": false})
	again := requests.update({"name": "payments-prod-ci", "enabled": false, "scopes": ["entities.read", "metrics.read"]})
	lib.only_disabling with input as requests.known(again, requests.existing)
	every request in [
		again,
		requests.update({"enabled": true}),
		requests.update({}),
		requests.delete,
		requests.known(requests.update({"name": "n", "enabled": false}), requests.existing),
		requests.other("edge_connect.update", {"enabled": false}),
	] {
		not lib.only_disabling with input as request
	}
}

test_a_cluster_has_scopes_of_its_own if {
	scopes := lib.scopes with input as object.union(requests.delete, {"operation": "cluster_token.delete"})
	scopes.ClusterTokenManagement
	not scopes.WriteConfig
	others := lib.scopes with input as requests.delete
	others.WriteConfig
}

test_a_token_has_all_its_ids if {
	uuid := object.union(requests.delete, {"token": {"id": "D5836312-5790-4e80-afcf-09971954c3ea"}})
	ids := lib.token_ids with input as requests.known(uuid, requests.existing)
	ids == {"d5836312-5790-4e80-afcf-09971954c3ea", lower(requests.token_id)}
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
			"the policies cannot read this request: enabled must be true or false; ",
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
	not lib.texts(["a", null, "b"])
	not lib.texts([["a"], "b"])
	not lib.texts(["a", {"b"}])
	not lib.texts(["a", {"b": "c"}])
	not lib.texts([true])
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
