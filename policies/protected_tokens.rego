# METADATA
# title: Protected tokens
# description: |
#   Tokens that others depend on may not be revoked, renamed, emptied of their scopes or deleted. While the gate does
#   not know a token's present name, every name that is sent along counts as a new one.
package dtgate.protected_tokens

import data.dtgate.lib

deny contains violation if {
	_protected
	input.operation == "token.delete"
	violation := _violation("deleted", "id")
}

deny contains violation if {
	_protected
	input.change.enabled.requested == false
	violation := _violation("revoked", "enabled")
}

deny contains violation if {
	_protected
	is_string(input.change.name.requested)
	not input.change.name.requested == input.change.name.current
	violation := _violation("renamed", "name")
}

# A token without scopes is as good as revoked.
deny contains violation if {
	_protected
	is_array(input.change.scopes.requested)
	count(input.change.scopes.requested) == 0
	violation := _violation("emptied of scopes", "scopes")
}

deny contains lib.unusable_setting("guardrails.protected_tokens.ids", "a list of token ids") if {
	not _ids_usable
}

deny contains lib.unusable_setting("guardrails.protected_tokens.names", "a list of token names") if {
	not _names_usable
}

deny contains violation if some violation in lib.unreadable

_protected if {
	not lib.creating
	_ids_usable
	is_string(input.token.id)
	some id in data.guardrails.protected_tokens.ids
	lower(input.token.id) == lower(id)
}

_protected if {
	not lib.creating
	input.change.name.current in data.guardrails.protected_tokens.names
}

_violation(what, path) := {
	"code": "protected-token",
	"message": sprintf(
		"token %s is protected and may not be %s; leave that out of the request, or ask whoever runs the gate",
		[input.token.id, what],
	),
	"path": path,
}

_ids_usable if lib.texts(data.guardrails.protected_tokens.ids)

_names_usable if lib.texts(data.guardrails.protected_tokens.names)
