# What lets OPA's Envoy plugin judge by the policies of dtgate: it makes the document that they read (docs/input.md) out
# of what Envoy hands over, and allows what none of them denies.
#
# It does less than dtgate does for the same request: nobody looks the token up, so that everything asked for counts as
# gained; a body with duplicate members is taken as Go's parser takes it; and OPA writes its decision log when it gets
# round to it and never syncs it.
package envoy.authz

default allow := false

# The benchmark changes tokens and otherwise fetches files, which is open traffic; so this is no policy to protect
# anything by.
allow if not operation

allow if {
	operation
	count(violations) == 0
}

# One `with` around all of them: what two policies ask of the library is then evaluated once, as it is in dtgate. Naming
# each policy in a union of its own took OPA more than twice as long.
violations := found if {
	found := {violation |
		some name
		some violation in data.dtgate[name].deny
	} with input as document
}

document := {
	"operation": operation,
	"api": input.parsed_path[1],
	"environment": {"name": "default", "id": "", "data": {}},
	"caller": {
		"address": input.attributes.source.address.socketAddress.address,
		"token": {"id": caller, "kind": "api-token"},
	},
	"token": {"id": input.parsed_path[3], "known": false},
	"change": {
		"name": {"requested": name | name := body.name},
		"enabled": {"requested": enabled | enabled := {true: false, false: true}[body.revoked]},
		"scopes": {"requested": scopes | scopes := body.scopes},
		"expiration": {"requested": expiration | expiration := body.expiresIn},
		"personal": {},
	},
	"unknown_members": object.remove(body, ["name", "scopes", "revoked", "expiresIn"]),
	"time": time.format(time.now_ns()),
}

operation := "token.update" if {
	input.attributes.request.http.method == "PUT"
	input.parsed_path[0] == "api"
	input.parsed_path[2] == "tokens"
	count(input.parsed_path) == 4
}

default body := {}

body := input.parsed_body if is_object(input.parsed_body)

# The public part: what stands before the second dot.
caller := concat(".", array.slice(split(trim_prefix(input.attributes.request.http.headers.authorization, "Api-Token "), "."), 0, 2))
