# METADATA
# title: Forbidden scopes
# description: |
#   Scopes that no caller may put on a token. One that the token has already may not be asked for again either: with
#   the next update it has to go, unless all that the update does is disable the token.
package dtgate.forbidden_scopes

import data.dtgate.lib

deny contains violation if {
	lib.asked_names & _forbidden != set()
	not lib.only_disabling
	some i, scope in lib.asked_scopes
	scope in _forbidden
	violation := {
		"code": "forbidden-scope",
		"message": sprintf("scope %q may not be granted; leave it out of the request", [scope]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

# Whether Dynatrace would read such a name as the real one is not known, so it counts as the real one.
deny contains violation if {
	lib.doubtful_names != set()
	not lib.only_disabling
	some i, scope in lib.asked_scopes
	scope in lib.uncatalogued_names
	not scope in _forbidden
	lib.plain(scope) in _plain_forbidden
	violation := {
		"code": "forbidden-scope-disguised",
		"message": sprintf("scope %q reads as one that may not be granted; leave it out of the request", [scope]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

deny contains lib.unusable_setting("guardrails.forbidden_scopes", "a list of scope names") if {
	not _list_usable
}

deny contains violation if some violation in lib.unreadable

_list_usable if lib.texts(data.guardrails.forbidden_scopes)

_forbidden := {scope |
	_list_usable
	some scope in data.guardrails.forbidden_scopes
}

_plain_forbidden := {lib.plain(scope) | some scope in _forbidden}
