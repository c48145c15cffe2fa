# METADATA
# title: Protected tokens
# description: |
#   Tokens that others depend on may not be revoked, renamed, emptied of their scopes or deleted. They are listed by id,
#   or by the name that they have now; no other token may take such a name.
package dtgate.protected_tokens

import data.dtgate.lib

deny contains violation if {
	_protected
	lib.deleting
	violation := _violation("deleted", "id")
}

deny contains violation if {
	_protected
	input.change.enabled.requested == false
	not input.change.enabled.current == false
	violation := _violation("revoked", "enabled")
}

deny contains violation if {
	_protected
	lib.renaming
	violation := _violation("renamed", "name")
}

# A token without scopes is as good as revoked.
deny contains violation if {
	_protected
	input.change.scopes.requested == []
	violation := _violation("emptied of scopes", "scopes")
}

# Whoever finds a token by its name would find this one.
deny contains violation if {
	_names_usable
	count(data.guardrails.protected_tokens.names) > 0
	lib.about_tokens
	lib.renaming
	input.change.name.requested in data.guardrails.protected_tokens.names
	violation := {
		"code": "protected-name",
		"message": sprintf("the name %q belongs to a protected token; choose another", [input.change.name.requested]),
		"path": "name",
	}
}

# Only where names are listed does it matter what the token is called now.
deny contains violation if {
	_names_usable
	count(data.guardrails.protected_tokens.names) > 0
	_existing
	not _name_known
	violation := {
		"code": "protected-name-unknown",
		"message": sprintf("nobody can tell whether token %s is a protected one, because its name is not known", [
			input.token.id,
		]),
		"path": "id",
	}
}

deny contains lib.unusable_setting("guardrails.protected_tokens.ids", "a list of token ids") if {
	not _ids_usable
}

deny contains lib.unusable_setting("guardrails.protected_tokens.names", "a list of token names") if {
	not _names_usable
}

deny contains violation if some violation in lib.unreadable

_existing if {
	lib.about_tokens
	not lib.creating
}

_name_known if is_string(input.change.name.current)

_protected if {
	_ids_usable
	count(data.guardrails.protected_tokens.ids) > 0
	_existing
	some protected in data.guardrails.protected_tokens.ids
	lower(protected) in lib.token_ids
}

_protected if {
	_names_usable
	count(data.guardrails.protected_tokens.names) > 0
	_existing
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
