package dtgate.minting_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.minting

settings := {"callers": {
	"activegate_token.create": [requests.caller_id],
	"connection_info.read": ["*"],
	"edge_connect.create": [],
}}

test_changes_of_tokens_are_none_of_its_business if {
	every request in [
		requests.create({"name": "n", "scopes": ["WriteConfig"]}),
		requests.update({"enabled": false}),
		requests.delete,
		object.union(requests.delete, {"operation": "cluster_token.delete"}),
	] {
		count(_denied(request)) == 0
	}
}

test_what_is_not_listed_is_denied if {
	every operation in [
		"activegate_token.delete",
		"edge_connect.create",
		"tenant_token_rotation.start",
		"token_management_token.create",
		"token.lookup",
		"something.new",
		"",
	] {
		requests.codes(_denied(requests.other(operation, {}))) == {"minting"}
	}
}

test_an_unknown_read_is_recorded_and_passes if {
	count(_denied(requests.other("unknown.read", {}))) == 0
	every operation in ["unknown.reads", "unknown.write", "vault_credential.details", "edge_connect.rotate", "public_share.create"] {
		requests.codes(_denied(requests.other(operation, {}))) == {"minting"}
	}
}

test_the_message_says_what_and_who if {
	requests.messages(_denied(requests.other("tenant_token_rotation.start", {}))) == {concat("", [
		"tenant_token_rotation.start is not open to caller dt0c01.ST2EY72KQINMH574WMNVI7YN; ",
		"have whoever runs the gate list it under guardrails.minting.callers",
	])}
	settings_write := object.union(
		requests.other("token_settings.update", {}),
		{"settings": {"schemas": ["builtin:tokens.token-settings"]}},
	)
	some message in requests.messages(_denied(settings_write))
	contains(message, "(builtin:tokens.token-settings)")
}

test_a_listed_caller_passes_and_others_do_not if {
	request := requests.other("activegate_token.create", {"activeGateType": "ENVIRONMENT"})
	count(_denied(request)) == 0
	every caller in [requests.nobody, {"id": "dt0c01.OTHER", "kind": "api-token"}, {"id": "*", "kind": "other"}] {
		requests.codes(_denied(requests.from(request, caller))) == {"minting"}
	}
}

test_callers_are_listed_by_what_they_have_proven_too if {
	caller := {"caller": {
		"token": {"id": "dt0c01.GATEGATEGATEGATEGATEGATE", "kind": "api-token"},
		"certificate": {"spiffe_id": "spiffe://example/ns/ag/deploy", "subject": "CN=ag", "fingerprint": "", "dns": [], "uris": []},
		"teams": ["platform"],
	}}
	request := object.union(requests.other("activegate_token.create", {}), caller)
	every entry in [{"team": "platform"}, {"spiffe": "spiffe://example/ns/ag/deploy"}] {
		denied := minting.deny with input as request
			with data.guardrails.minting.callers as {"activegate_token.create": [entry]}
		count(denied) == 0
	}
	denied := minting.deny with input as request
		with data.guardrails.minting.callers as {"activegate_token.create": [{"team": "payments"}]}
	some message in requests.messages(denied)
	startswith(message, "activegate_token.create is not open to team platform; ")
}

test_everybody_is_everybody if {
	every caller in [requests.nobody, {"id": "dt0c01.OTHER", "kind": "bearer"}] {
		count(_denied(requests.from(requests.other("connection_info.read", {}), caller))) == 0
	}
}

test_share_settings_pass_as_long_as_nobody_gets_in_without_login if {
	every members in [
		{"enabled": true, "publicAccess": {"managementZoneIds": [], "urls": {}}},
		{"publicAccess": {"managementZoneIds": []}},
	] {
		count(_denied(requests.other("dashboard_sharing.update", members))) == 0
	}
	every members in [
		{},
		{"enabled": true},
		{"PublicAccess": {"managementZoneIds": ["0"]}},
		{"publicAccess": {"ManagementZoneIds": ["0"]}},
		{"publicAccess": {"managementZoneIds": ["0"]}},
		{"publicAccess": {"managementZoneIds": "0"}},
		{"publicAccess": {}},
		{"publicAccess": null},
		{"publicAccess": [7]},
	] {
		requests.codes(_denied(requests.other("dashboard_sharing.update", members))) == {"minting"}
	}
}

test_unusable_settings_deny_everything if {
	every wrong in [{}, {"callers": []}, {"callers": {"a": "*"}}, {"callers": {"a": [{"team": ""}]}}, {"callers": {"connection_info.read": [7]}}] {
		denied := minting.deny with input as requests.other("connection_info.read", {})
			with data.guardrails.minting as wrong
		"unusable-setting" in requests.codes(denied)
		token := minting.deny with input as requests.delete with data.guardrails.minting as wrong
		requests.codes(token) == {"unusable-setting"}
	}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied({})) == {"minting", "unreadable-request"}
	requests.codes(_denied(object.union(requests.delete, {"operation": 7}))) == {"minting", "unreadable-request"}
}

_denied(request) := denied if {
	denied := minting.deny with input as request with data.guardrails.minting as settings
}
