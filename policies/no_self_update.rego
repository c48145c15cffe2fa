# METADATA
# title: No self-update
# description: |
#   A token may not change, disable or delete itself: a token that may write tokens could otherwise widen itself, and
#   one that disables itself locks its owner out. Recognised by the public token id. A token that is addressed by its old id (a
#   UUID) is not recognised; there only Dynatrace's own refusal helps.
package dtgate.no_self_update

import data.dtgate.lib

deny contains violation if {
	not lib.creating
	is_string(input.token.id)
	is_string(input.caller.token.id)

	# An id that differs only in case would be a stranger's to us and maybe not to Dynatrace.
	lower(input.token.id) == lower(input.caller.token.id)
	violation := {
		"code": "self-update",
		"message": sprintf("token %s may not %s itself; use another token for this request", [
			input.token.id,
			_verb,
		]),
		"path": "id",
	}
}

deny contains violation if some violation in lib.unreadable

default _verb := "change"

_verb := "delete" if input.operation == "token.delete"

_verb := "disable" if {
	input.operation == "token.update"
	input.change.enabled.requested == false
}
