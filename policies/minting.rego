# METADATA
# title: Minting
# description: |
#   Everything that the gate judges and that is no change of an API token makes, shows, revives or removes another
#   credential: rotations, ActiveGate tokens, links without login, settings of tokens, downloads with a token inside. It
#   is denied unless its operation is listed with the caller. What no policy here was written for is denied as well.
package dtgate.minting

import data.dtgate.lib

deny contains violation if {
	not lib.about_tokens
	not _listed
	not _harmless
	violation := {
		"code": "minting",
		"message": sprintf(
			"%s is not open to %s%s; have whoever runs the gate list it under guardrails.minting.callers",
			[_operation, lib.caller_told, _schemas],
		),
		"path": "operation",
	}
}

deny contains lib.unusable_setting(
	"guardrails.minting.callers",
	sprintf("by operation a list of callers (\"*\" for everybody; %s)", [lib.callers_wanted]),
) if {
	not _usable
}

deny contains violation if some violation in lib.unreadable

_listed if {
	_usable
	"*" in data.guardrails.minting.callers[input.operation]
}

_listed if {
	_usable
	some entry in data.guardrails.minting.callers[input.operation]
	entry in lib.listings
}

# A read that the gate does not know, below what it guards: it is recorded. Where reads there show secrets, the gate
# refuses it before policies are asked.
_harmless if input.operation == "unknown.read"

# Share settings that say that nobody gets in without login. What they do not say may stay as it is, or not.
_harmless if {
	input.operation == "dashboard_sharing.update"
	input.unknown_members.publicAccess.managementZoneIds == []
}

default _operation := "this request"

_operation := input.operation if is_string(input.operation)

default _schemas := ""

_schemas := sprintf(" (%s)", [concat(", ", input.settings.schemas)]) if lib.texts(input.settings.schemas)

_usable if {
	is_object(data.guardrails.minting.callers)
	every callers in data.guardrails.minting.callers {
		lib.callers_usable(callers)
	}
}
