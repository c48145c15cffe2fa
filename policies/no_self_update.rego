# METADATA
# title: No self-update
# description: |
#   A token may not change or delete itself: a token that may write tokens could otherwise widen itself. Disabling alone
#   is left to Dynatrace, which refuses it. Recognised by the public token id: the one in the path, or the one
#   that Dynatrace tells of a token which is addressed by an old id (a UUID). A caller whose token is older than the
#   public ids is not recognised.
package dtgate.no_self_update

import data.dtgate.lib

deny contains violation if {
	is_string(input.caller.token.id)

	# An id that differs only in case would be a stranger's to us and maybe not to Dynatrace.
	lower(input.caller.token.id) in lib.token_ids
	lib.about_tokens
	not lib.only_disabling
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

_verb := "delete" if {
	lib.deleting
} else := "disable" if {
	input.change.enabled.requested == false
} else := "change"
