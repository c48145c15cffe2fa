# METADATA
# title: Blast radius
# description: |
#   What one caller may do within an hour: make so many tokens, give so many scopes, remove so many tokens. A program
#   that runs wild, or somebody who has its credential, is stopped there. Counted is what this gate has sent to
#   Dynatrace, who did not refuse it; each request counts before the next one of the same caller is judged.
package dtgate.blast_radius

import data.dtgate.lib

deny contains violation if {
	lib.creating
	data.guardrails.blast_radius.created > 0
	_created + 1 > data.guardrails.blast_radius.created
	violation := {
		"code": "blast-radius",
		"message": sprintf("too many new tokens: you have made %d within the last hour, and %d are allowed; %s", [
			_created,
			data.guardrails.blast_radius.created,
			"try again later",
		]),
		"path": "operation",
	}
}

# What is asked for comes first: it is counted anyway, and more than what is gained.
deny contains violation if {
	_scopes_gained + count(lib.asked_names) > data.guardrails.blast_radius.scopes_gained
	data.guardrails.blast_radius.scopes_gained > 0
	lib.about_tokens
	gained := count(lib.gained_names)
	gained > 0
	_scopes_gained + gained > data.guardrails.blast_radius.scopes_gained
	violation := {
		"code": "blast-radius",
		"message": sprintf("too many scopes: you have given %d within the last hour and ask for %d more, and %d are %s", [
			_scopes_gained,
			gained,
			data.guardrails.blast_radius.scopes_gained,
			"allowed; try again later",
		]),
		"path": "scopes",
	}
}

deny contains violation if {
	lib.deleting
	data.guardrails.blast_radius.removed > 0
	_removed + 1 > data.guardrails.blast_radius.removed
	violation := {
		"code": "blast-radius",
		"message": sprintf("too many removals: you have removed %d tokens within the last hour, and %d are allowed; %s", [
			_removed,
			data.guardrails.blast_radius.removed,
			"try again later",
		]),
		"path": "id",
	}
}

deny contains lib.unusable_setting(sprintf("guardrails.blast_radius.%s", [name]), "a whole number, 0 for no limit") if {
	some name in _unusable
}

deny contains violation if some violation in lib.unreadable

# Where a request is judged without a gate nobody has done anything yet.
default _created := 0

_created := input.caller.recent.created

default _scopes_gained := 0

_scopes_gained := input.caller.recent.scopes_gained

default _removed := 0

_removed := input.caller.recent.removed

_unusable contains "created" if not _created_usable

_unusable contains "scopes_gained" if not _scopes_gained_usable

_unusable contains "removed" if not _removed_usable

_created_usable if {
	is_number(data.guardrails.blast_radius.created)
	data.guardrails.blast_radius.created >= 0
	data.guardrails.blast_radius.created == floor(data.guardrails.blast_radius.created)
}

_scopes_gained_usable if {
	is_number(data.guardrails.blast_radius.scopes_gained)
	data.guardrails.blast_radius.scopes_gained >= 0
	data.guardrails.blast_radius.scopes_gained == floor(data.guardrails.blast_radius.scopes_gained)
}

_removed_usable if {
	is_number(data.guardrails.blast_radius.removed)
	data.guardrails.blast_radius.removed >= 0
	data.guardrails.blast_radius.removed == floor(data.guardrails.blast_radius.removed)
}
