# METADATA
# title: Safe reading
# description: |
#   What every policy needs so that it never stays silent by accident. A rule over a value of an unexpected type is
#   undefined, and an undefined deny lets the request pass; so each policy also denies what is listed here.
package dtgate.lib

# METADATA
# description: Parts of the request that do not have the shape that the policies rely on.
# scope: rule
unreadable contains violation if {
	not _readable
	some part in _unreadable_parts
	path := part[0]
	wanted := part[1]
	violation := {
		"code": "unreadable-request",
		"message": sprintf("the policies cannot read this request: %s must be %s; report this to whoever runs the gate", [
			path,
			wanted,
		]),
		"path": path,
	}
}

# All at once, as nearly every request is. The first for those that have everything: whatever it leaves out is looked at
# by the second, and what both leave out part by part.
_readable if {
	is_string(input.operation)
	is_string(input.token.id)
	is_string(object.get(input.change.name, "requested", ""))
	is_boolean(object.get(input.change.enabled, "requested", false))
	_scopes_given
	is_string(input.caller.token.id)
} else if {
	is_string(input.operation)
	_id_readable_or_unneeded
	is_string(object.get(input.change.name, "requested", ""))
	is_boolean(object.get(input.change.enabled, "requested", false))
	_scopes_readable
	is_string(input.caller.token.id)
}

_unreadable_parts contains ["operation", "text"] if not _operation_readable

_unreadable_parts contains ["id", "text"] if not _id_readable_or_unneeded

_unreadable_parts contains ["name", "text"] if not _name_readable

_unreadable_parts contains ["enabled", "true or false"] if not _enabled_readable

_unreadable_parts contains ["scopes", "a list of texts"] if not _scopes_readable

_unreadable_parts contains ["caller", "somebody whose token has a text for its id"] if not _caller_readable

# METADATA
# description: |
#   The scopes that the request asks for; empty if it asks for none, or for something that is no list of texts.
# scope: document
default asked_scopes := []

asked_scopes := input.change.scopes.requested if _scopes_given

# METADATA
# description: |
#   The same as a set. Comparing sets takes one step where looking at each scope takes one a scope: policies look
#   here first, and at the places only when there is something to say.
# scope: document
asked_names := {scope | some scope in asked_scopes}

# METADATA
# description: Those of them that the catalogue does not have as current, and that is hardly ever any.
# scope: document
doubtful_names := asked_names - _current_names[catalogue]

# METADATA
# description: Those of them that the catalogue does not have.
# scope: document
uncatalogued_names := doubtful_names - _catalogue_names[catalogue]

# METADATA
# description: Those that are asked for and that the token would gain, as `gained`.
# scope: document
gained_names := asked_names - _kept

# METADATA
# description: |
#   The request makes, changes or removes an API token. Whatever else the gate judges (rotations, ActiveGate tokens,
#   settings, downloads) is a matter of the policy minting; the policies about tokens are silent there.
about_tokens if input.operation in token_operations

# METADATA
# description: The operations that the policies about tokens judge.
# scope: document
token_operations := {
	"cluster_token.create",
	"cluster_token.delete",
	"cluster_token.update",
	"token.create",
	"token.delete",
	"token.update",
}

# METADATA
# description: Somebody shows a token. The id of nobody's is empty, and is in no list.
shows_token if {
	is_string(input.caller.token.id)
	input.caller.token.id != ""
}

# METADATA
# description: The request makes a new token.
creating if input.operation in {"cluster_token.create", "token.create"}

# METADATA
# description: The request removes a token.
deleting if input.operation in {"cluster_token.delete", "token.delete"}

# METADATA
# description: |
#   The scopes, by place, that the token would gain. When the gate could not look the token up these are all that are
#   asked for.
# scope: document
gained := {i: scope |
	some i, scope in asked_scopes
	not scope in _kept
}

# METADATA
# description: The ids of the token to change in lower case, the one in the path and the one that Dynatrace tells.
# scope: rule
token_ids contains id if {
	is_string(input.token.id)
	id := lower(input.token.id)
}

token_ids contains id if {
	is_string(input.token.current.id)
	id := lower(input.token.current.id)
}

# METADATA
# description: The request asks for a name that the token does not have.
renaming if {
	is_string(input.change.name.requested)
	not input.change.name.requested == input.change.name.current
}

# METADATA
# description: |
#   All that the request does is disable the token. This must always be possible: a leaked token has to be stopped, and
#   Terraform makes a disabled token by making it first and disabling it then.
only_disabling if {
	_updating
	input.change.enabled.requested == false
	input.change.differs == ["enabled"]
}

only_disabling if {
	_updating
	input.change.enabled.requested == false
	not input.change.name.requested
	not input.change.scopes.requested
}

_updating if input.operation in {"cluster_token.update", "token.update"}

# METADATA
# description: The catalogue of scopes for the token that the request is about.
# scope: document
scopes := data.dynatrace[catalogue]

# METADATA
# description: The name of that catalogue. A token of a cluster has scopes of its own.
# scope: document
default catalogue := "scopes"

catalogue := "cluster_scopes" if input.operation in {"cluster_token.create", "cluster_token.delete", "cluster_token.update"}

# METADATA
# description: The names of all catalogues.
# scope: document
catalogues := {"scopes", "cluster_scopes"}

_catalogue_names := {name: object.keys(data.dynatrace[name]) | some name in catalogues}

_current_names := {which: names |
	some which in catalogues
	names := {name |
		some name, scope in data.dynatrace[which]
		scope.status == "current"
	}
}

# METADATA
# description: The violation for a setting that is missing or wrong, with what it should be.
unusable_setting(setting, wanted) := {
	"code": "unusable-setting",
	"message": sprintf("data.%s must be %s; nothing passes this policy until whoever runs the gate corrects it", [
		setting,
		wanted,
	]),
}

# METADATA
# description: Whether the value is a list that holds nothing but text.
texts(value) if {
	is_array(value)

	# Values come in the order of their types: between two texts there are only texts.
	is_string(min(value))
	is_string(max(value))
} else if {
	value == []
}

# Each of these is a rule of its own: `not f(input.x)` is undefined, not true, in OPA when there is no input.x.
_operation_readable if is_string(input.operation)

_id_readable if is_string(input.token.id)

_id_readable_or_unneeded if _id_readable

_id_readable_or_unneeded if creating

_id_readable_or_unneeded if not about_tokens

_name_readable if is_string(object.get(input.change.name, "requested", ""))

_enabled_readable if is_boolean(object.get(input.change.enabled, "requested", false))

_scopes_readable if texts(object.get(input.change.scopes, "requested", []))

_scopes_given if texts(input.change.scopes.requested)

_kept := {scope | some scope in input.change.scopes.kept}

_caller_readable if is_string(input.caller.token.id)
