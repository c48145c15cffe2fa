package dtgate.escalation_test

import data.dtgate.escalation
import data.dtgate.lib.requests_test as requests

alone := {"mint_classes": ["mint", "mint-infrastructure"], "teams": {}}

teams := {"mint_classes": ["mint"], "teams": {
	"payments": {"callers": [requests.caller_id], "scopes": ["logs.ingest"], "classes": ["read"]},
	"others": {"callers": ["dt0c01.BBBBBBBBBBBBBBBBBBBBBBBB"], "scopes": ["hub.install"], "classes": []},
}}

test_without_teams_everybody_gives_what_makes_no_credential if {
	count(_denied(requests.create({"scopes": ["logs.ingest", "hub.install"]}), alone)) == 0
	requests.paths(_denied(requests.create({"scopes": ["logs.ingest", "apiTokens.write"]}), alone)) == {"scopes[1]"}
	requests.paths(_denied(requests.update({"scopes": ["tenantTokenRotation.write"]}), alone)) == {"scopes[0]"}
}

test_a_caller_gives_what_its_team_owns if {
	count(_denied(requests.create({"scopes": ["logs.ingest", "metrics.read"]}), teams)) == 0
	requests.codes(_denied(requests.create({"scopes": ["hub.install"]}), teams)) == {"escalation-team"}
	requests.codes(_denied(requests.create({"scopes": ["apiTokens.write"]}), teams)) == {
		"escalation-team",
		"escalation-mint",
	}
}

test_a_caller_of_no_team_gives_nothing if {
	strangers := [requests.nobody, {"id": "dt0c01.CCCCCCCCCCCCCCCCCCCCCCCC", "kind": "api-token"}]
	every caller in strangers {
		request := requests.from(requests.create({"scopes": ["metrics.read"]}), caller)
		requests.codes(_denied(request, teams)) == {"escalation-team"}
	}
}

test_a_caller_gives_what_the_teams_own_that_it_belongs_to if {
	caller := {"caller": {"token": requests.nobody, "teams": ["elsewhere", "others"]}}
	count(_denied(object.union(requests.create({"scopes": ["hub.install"]}), caller), teams)) == 0
	stranger := object.union(requests.create({"scopes": ["logs.ingest"]}), caller)
	requests.codes(_denied(stranger, teams)) == {"escalation-team"}
}

test_a_team_lists_its_callers_by_what_they_have_proven if {
	issuer := "https://ci.example"
	caller := {"caller": {
		"token": {"id": "dt0c01.GATEGATEGATEGATEGATEGATE", "kind": "api-token"},
		"certificate": {"spiffe_id": "spiffe://example/ns/payments/ci", "subject": "CN=ci", "fingerprint": "", "dns": [], "uris": []},
		"jwt": {"issuer": issuer, "subject": "repo:example/payments", "claims": {"sub": "repo:example/payments"}},
		"teams": ["builders"],
	}}
	request := object.union(requests.create({"scopes": ["logs.ingest"]}), caller)
	every entry in [
		{"spiffe": "spiffe://example/ns/payments/ci"},
		{"subject": "CN=ci"},
		{"issuer": issuer, "claim": "sub", "value": "repo:example/payments"},
		{"team": "builders"},
	] {
		count(_denied(request, _listing(entry))) == 0
	}
	every entry in [
		{"spiffe": "spiffe://example/ns/others/ci"},
		{"issuer": "https://other.example", "claim": "sub", "value": "repo:example/payments"},
		{"team": "payments"},
	] {
		requests.codes(_denied(request, _listing(entry))) == {"escalation-team"}
	}
}

test_what_the_token_has_is_no_gain if {
	powerful := object.union(requests.existing, {"scopes": ["apiTokens.write", "hub.install"]})
	again := requests.update({"name": "n", "scopes": ["hub.install", "apiTokens.write"]})
	count(_denied(requests.known(again, powerful), teams)) == 0
	more := requests.update({"scopes": ["hub.install", "apiTokens.write", "TenantTokenManagement"]})
	requests.paths(_denied(requests.known(more, powerful), teams)) == {"scopes[2]"}
	requests.codes(_denied(again, teams)) == {"escalation-team", "escalation-mint"}
}

test_a_request_without_scopes_gains_nothing if {
	every request in [requests.update({}), requests.delete, requests.update({"enabled": false})] {
		count(_denied(request, teams)) == 0
		count(_denied(requests.known(request, requests.existing), teams)) == 0
	}
}

test_a_cluster_token_gains_by_the_clusters_own_scopes if {
	request := object.union(requests.create({"scopes": ["ClusterTokenManagement"]}), {"operation": "cluster_token.create"})
	requests.codes(_denied(request, alone)) == {"escalation-mint"}
}

test_other_operations_are_none_of_its_business if {
	count(_denied(requests.other("activegate_token.create", {}), teams)) == 0
}

test_unusable_settings_deny_everything if {
	every settings in [
		{},
		{"mint_classes": [], "teams": null},
		{"mint_classes": "mint", "teams": {}},
		{"mint_classes": [], "teams": {"a": {}}},
		{"mint_classes": [], "teams": {"a": {"callers": "x", "scopes": [], "classes": []}}},
		{"mint_classes": [], "teams": {"a": {"callers": [{"spifffe": "x"}], "scopes": [], "classes": []}}},
	] {
		requests.codes(_denied(requests.delete, settings)) == {"unusable-setting"}
	}
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.update({"scopes": "apiTokens.write"}), alone)) == {"unreadable-request"}
	requests.codes(_denied({}, alone)) == {"unreadable-request"}
}

_listing(entry) := {"mint_classes": [], "teams": {"a": {"callers": [entry], "scopes": ["logs.ingest"], "classes": []}}}

_denied(request, settings) := denied if {
	denied := escalation.deny with input as request with data.guardrails.escalation as settings
}
