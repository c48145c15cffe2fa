# METADATA
# title: Reactivation
# description: |
#   A revoked token stays revoked: whoever needs one again makes a new one. While the gate does not know whether the
#   token was revoked, every update that says `enabled: true` (v1: `revoked: false`) counts, so this ships as a warning.
package dtgate.reactivation

import data.dtgate.lib

deny contains violation if {
	input.operation == "token.update"
	input.change.enabled.requested == true
	violation := {
		"code": "reactivation",
		"message": sprintf(
			"this update enables token %s, which revives it if it was revoked; leave it out, or make a new token",
			[input.token.id],
		),
		"path": "enabled",
	}
}

deny contains violation if some violation in lib.unreadable
