# METADATA
# title: Reactivation
# description: |
#   A revoked token stays revoked: whoever needs one again makes a new one. Terraform says `enabled: true` with every
#   update, so that it counts only where the token is disabled, or where nobody knows.
package dtgate.reactivation

import data.dtgate.lib

deny contains violation if {
	input.change.enabled.requested == true
	not input.change.enabled.current == true
	lib.about_tokens
	not lib.creating
	violation := {
		"code": "reactivation",
		"message": sprintf(
			"token %s is disabled and would be revived (or nobody knows its state); leave that out, or make a new token",
			[input.token.id],
		),
		"path": "enabled",
	}
}

deny contains violation if some violation in lib.unreadable
