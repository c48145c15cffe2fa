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
	some path, wanted in _unreadable_parts
	violation := {
		"code": "unreadable-request",
		"message": sprintf("the policies cannot read this request: %s must be %s; report this to whoever runs the gate", [
			path,
			wanted,
		]),
		"path": path,
	}
}

_unreadable_parts["operation"] := "token.create, token.update or token.delete" if not _operation_readable

_unreadable_parts["id"] := "text" if {
	not creating
	not _id_readable
}

_unreadable_parts["name"] := "text or null" if not _name_readable

_unreadable_parts["enabled"] := "true, false or null" if not _enabled_readable

_unreadable_parts["scopes"] := "a list of texts or null" if not _scopes_readable

_unreadable_parts["caller"] := "null or a token with an id" if not _caller_readable

# METADATA
# description: |
#   The scopes that the request asks for; empty if it asks for none. Policies go through these and not through
#   the input, because regorus takes `some .. in null` for an error, where OPA finds nothing.
# scope: document
default asked_scopes := []

asked_scopes := input.change.scopes.requested if _scopes_given

# METADATA
# description: The request makes a new token.
creating if input.operation == "token.create"

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
	every element in value {
		is_string(element)
	}
}

# Each of these is a rule of its own: `not f(input.x)` is undefined, not true, in OPA when there is no input.x.
_operation_readable if input.operation in {"token.create", "token.update", "token.delete"}

_id_readable if is_string(input.token.id)

_name_readable if is_null(input.change.name.requested)

_name_readable if is_string(input.change.name.requested)

_enabled_readable if is_null(input.change.enabled.requested)

_enabled_readable if is_boolean(input.change.enabled.requested)

_scopes_readable if is_null(input.change.scopes.requested)

_scopes_readable if _scopes_given

_scopes_given if texts(input.change.scopes.requested)

_caller_readable if is_null(input.caller.token)

_caller_readable if is_null(input.caller.token.id)

_caller_readable if is_string(input.caller.token.id)
