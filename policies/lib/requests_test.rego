# METADATA
# title: Requests to test with
# description: |
#   Input documents as the gate makes them: what a test does not mention was not sent, and is absent. Who asks is always
#   there. The gate's own tests compare them with what it makes.
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

# `asked` may have name, enabled, scopes, expiration (with `at`, the instant that it means), personal and unknown.
# Whatever a new token has is gained.
create(asked) := object.union(_request("token.create", asked), {"change": {"scopes": {
	"added": object.get(asked, "scopes", []),
	"removed": [],
	"kept": [],
}}})

update(asked) := object.union(_request("token.update", asked), _target)

delete := object.union(_request("token.delete", {}), _target)

# An operation that is about no API token, with the members of its body.
other(operation, members) := _request(operation, {"unknown": members})

# The same request where the gate has looked the token up, and says what would change.
known(request, token) := object.union_n([
	request,
	{
		"token": {"known": true, "current": object.union(_unknown_token, token)},
		"change": {
			"name": {"current": token.name},
			"enabled": {"current": token.enabled},
			"scopes": {"current": token.scopes},
		},
	},
	_difference(request, token),
])

# A token as the tests' own creation makes it.
existing := {"name": "payments-prod-ci", "enabled": true, "scopes": ["metrics.read", "entities.read"]}

# The same request with another Dynatrace token, and no proof of who asks.
from(request, token) := object.union(object.remove(request, ["caller"]), {"caller": _caller(token)})

# Who shows no token.
nobody := {"id": "", "kind": ""}

# The same request from a caller of this team, besides its other teams.
by_team(request, team) := object.union(request, {"caller": {"teams": sort(array.concat(request.caller.teams, [team]))}})

# The same request with a JSON Web Token that has these claims; `iss` and `sub` are among them.
by_jwt(request, claims) := object.union(request, {"caller": {"jwt": {
	"issuer": claims.iss,
	"subject": claims.sub,
	"audiences": _list(object.get(claims, "aud", [])),
	"id": object.get(claims, "jti", ""),
	"claims": claims,
}}})

# The same request with a client certificate that says this, and nothing else but what every certificate says.
by_certificate(request, said) := object.union_n([
	request,
	{"caller": {"certificate": {
		"fingerprint": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"not_after": "2027-11-24T10:00:00.000Z",
		"uris": [id | id := said.spiffe_id],
	}}},
	{"caller": {"certificate": said}},
])

# The same request of a caller whose changes came to this within the last hour: `created`, `scopes_gained`, `removed`.
after(request, recent) := object.union(request, {"caller": {"recent": recent}})

codes(violations) := {violation.code | some violation in violations}

paths(violations) := {violation.path | some violation in violations}

messages(violations) := {violation.message | some violation in violations}

_unknown_token := {"id": token_id, "owner": "john.smith", "personal": false}

_target := {"token": {"id": token_id, "known": false}}

# Of a token that goes nothing is kept, and nothing differs.
_difference(request, token) := {"change": {
	"scopes": _scopes(requested, token.scopes),
	"differs": [member |
		some member in ["name", "enabled", "scopes"]
		asked := request.change[member].requested
		not _same(asked, token[member])
	],
}} if {
	request.operation == "token.update"
	requested := object.get(request.change.scopes, "requested", token.scopes)
} else := {}

_scopes(requested, current) := {
	"added": [scope | some scope in requested; not scope in current],
	"removed": [scope | some scope in current; not scope in requested],
	"kept": [scope | some scope in requested; scope in current],
}

_same(requested, current) if requested == current

_same(requested, current) if {
	is_array(requested)
	{scope | some scope in requested} == {scope | some scope in current}
}

_request(operation, asked) := object.union(
	{
		"operation": operation,
		"api": "v2",
		"environment": {"name": "prod", "id": "abc12345", "data": {}},
		"caller": _caller({"id": caller_id, "kind": "api-token"}),
		"change": {
			"name": _requested(asked, "name"),
			"enabled": _requested(asked, "enabled"),
			"scopes": _requested(asked, "scopes"),
			"expiration": object.union(_requested(asked, "expiration"), {"at": at | at := asked.at}),
			"personal": _requested(asked, "personal"),
		},
		"time": "2026-11-24T10:00:00.000Z",
	},
	{"unknown_members": members | members := asked.unknown; members != {}},
)

# Who shows this token and nothing else.
_caller(token) := {
	"address": "10.1.2.3",
	"token": token,
	"certificate": {
		"subject": "",
		"issuer": "",
		"serial": "",
		"dns": [],
		"uris": [],
		"emails": [],
		"addresses": [],
		"spiffe_id": "",
		"fingerprint": "",
		"not_after": "",
	},
	"jwt": {"issuer": "", "subject": "", "audiences": [], "id": "", "claims": {}},
	"teams": [],
}

_list(value) := value if is_array(value)

_list(value) := [value] if is_string(value)

_requested(asked, member) := {"requested": value | value := asked[member]}
