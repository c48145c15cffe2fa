# METADATA
# title: Requests to test with
# description: Input documents as the gate makes them; what a test does not mention was not sent.
package dtgate.lib.requests_test

token_id := "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"

caller_id := "dt0c01.ST2EY72KQINMH574WMNVI7YN"

# The example of the Dynatrace documentation, scope for scope.
documented_scopes := [
	"ExternalSyntheticIntegration",
	"DataPrivacy",
	"WriteConfig",
	"DssFileManagement",
	"LogExport",
	"DTAQLAccess",
	"ReadConfig",
	"CaptureRequestData",
	"ReadSyntheticData",
	"DataExport",
	"UserSessionAnonymization",
	"MaintenanceWindows",
	"LogImport",
	"TenantTokenManagement",
	"ActiveGateCertManagement",
	"RumJavaScriptTagManagement",
]

documented := object.union(
	update({"scopes": documented_scopes}),
	{"token": {"id": "d5836312-5790-4e80-afcf-09971954c3ea"}},
)

create(asked) := _request("token.create", null, asked)

update(asked) := _request("token.update", {"id": token_id, "current": null, "lookup_error": null}, asked)

delete := _request("token.delete", {"id": token_id, "current": null, "lookup_error": null}, {})

# An operation that is about no API token, with the members of its body.
other(operation, members) := object.union(
	object.remove(_request(operation, null, {}), ["unknown_members"]),
	{"unknown_members": members},
)

# The same request where the gate has looked the token up, and says what would change.
known(request, token) := object.union(request, {
	"token": {"current": object.union(_unknown_token, token), "lookup_error": null},
	"change": {
		"name": {"current": token.name},
		"enabled": {"current": token.enabled},
		"scopes": _difference(request.change.scopes.requested, token.scopes),
		"differs": [member |
			some member in ["name", "enabled", "scopes"]
			not is_null(request.change[member].requested)
			not _same(request.change[member].requested, token[member])
		],
	},
})

# A token as the tests' own creation makes it.
existing := {"name": "payments-prod-ci", "enabled": true, "scopes": ["metrics.read", "entities.read"]}

# The same request from another caller; `token` may be null.
from(request, token) := object.union(object.remove(request, ["caller"]), {"caller": {
	"address": "10.1.2.3",
	"token": token,
	"certificate": null,
}})

codes(violations) := {violation.code | some violation in violations}

paths(violations) := {violation.path | some violation in violations}

messages(violations) := {violation.message | some violation in violations}

_unknown_token := {"id": token_id, "owner": "john.smith", "personal": false, "expiration": null}

_difference(requested, current) := {
	"current": current,
	"added": [scope | some scope in requested; not scope in current],
	"removed": [scope | some scope in current; not scope in requested],
	"kept": [scope | some scope in requested; scope in current],
} if {
	is_array(requested)
} else := {"current": current, "added": [], "removed": [], "kept": current}

_same(requested, current) if requested == current

_same(requested, current) if {
	is_array(requested)
	{scope | some scope in requested} == {scope | some scope in current}
}

_request(operation, token, asked) := {
	"operation": operation,
	"api": "v2",
	"environment": {"name": "prod", "id": "abc12345"},
	"caller": {
		"address": "10.1.2.3",
		"token": {"id": caller_id, "kind": "api-token"},
		"certificate": null,
	},
	"token": token,
	"change": {
		"name": {"requested": object.get(asked, "name", null), "current": null},
		"enabled": {"requested": object.get(asked, "enabled", null), "current": null},
		"scopes": {
			"requested": object.get(asked, "scopes", null),
			"current": null,
			"added": _added(operation, asked),
			"removed": null,
			"kept": null,
		},
		"expiration": {"requested": object.get(asked, "expiration", null)},
		"personal": {"requested": object.get(asked, "personal", null)},
		"differs": null,
	},
	"settings": null,
	"unknown_members": {},
	"time": "2026-11-24T10:00:00.000Z",
}

# Whatever a new token has is gained.
default _added(_, _) := null

_added("token.create", asked) := object.get(asked, "scopes", [])
