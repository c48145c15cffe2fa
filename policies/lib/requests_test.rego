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

update(asked) := _request("token.update", {"id": token_id, "current": null}, asked)

delete := _request("token.delete", {"id": token_id, "current": null}, {})

# The same request from another caller; `token` may be null.
from(request, token) := object.union(object.remove(request, ["caller"]), {"caller": {
	"address": "10.1.2.3",
	"token": token,
	"certificate": null,
}})

codes(violations) := {violation.code | some violation in violations}

paths(violations) := {violation.path | some violation in violations}

messages(violations) := {violation.message | some violation in violations}

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
			"added": null,
			"removed": null,
			"kept": null,
		},
		"expiration": {"requested": object.get(asked, "expiration", null)},
		"personal": {"requested": object.get(asked, "personal", null)},
	},
	"unknown_members": {},
	"time": "2026-11-24T10:00:00.000Z",
}
