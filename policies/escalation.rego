# METADATA
# title: Escalation
# description: |
#   What a token gains must be its caller's to give: a scope of the caller's team, and never one that makes other
#   credentials. What a token has already is no gain.
package dtgate.escalation

import data.dtgate.lib

deny contains violation if {
	lib.asked_names & _minting[lib.catalogue] != set()
	some i, scope in lib.gained
	scope in _minting[lib.catalogue]
	violation := {
		"code": "escalation-mint",
		"message": sprintf("scope %q makes or shows other credentials and may not be gained; leave it out", [scope]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

# With the first team that is listed, whoever belongs to none may give nothing.
deny contains violation if {
	_usable
	count(data.guardrails.escalation.teams) > 0
	some i, scope in lib.gained
	not scope in _owned
	not lib.scopes[scope].class in _owned_classes
	violation := {
		"code": "escalation-team",
		"message": sprintf("scope %q is not one that %s may give; leave it out, or ask its team", [scope, lib.caller_told]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

deny contains lib.unusable_setting(
	"guardrails.escalation",
	sprintf(
		"an object with mint_classes (a list of classes) and teams (by name: scopes, classes and callers, each a list; callers: %s)",
		[lib.callers_wanted],
	),
) if {
	not _usable
}

deny contains violation if some violation in lib.unreadable

# By catalogue.
_minting := {catalogue: names |
	lib.texts(data.guardrails.escalation.mint_classes)
	some catalogue in lib.catalogues
	names := {name |
		some name, scope in data.dynatrace[catalogue]
		scope.class in data.guardrails.escalation.mint_classes
	}
}

_owned contains scope if {
	some team in _teams
	some scope in team.scopes
}

_owned_classes contains class if {
	some team in _teams
	some class in team.classes
}

# The caller's: those that data.callers puts it into, and those that list it.
_teams contains team if {
	_usable
	some name, team in data.guardrails.escalation.teams
	name in input.caller.teams
}

_teams contains team if {
	_usable
	some team in data.guardrails.escalation.teams
	some entry in team.callers
	entry in lib.listings
}

_usable if {
	lib.texts(data.guardrails.escalation.mint_classes)
	is_object(data.guardrails.escalation.teams)
	every team in data.guardrails.escalation.teams {
		lib.callers_usable(team.callers)
		lib.texts(team.scopes)
		lib.texts(team.classes)
	}
}
