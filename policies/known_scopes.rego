# METADATA
# title: Known scopes
# description: |
#   Only scopes that Dynatrace is known to have may be requested. Dynatrace was seen to drop a name it does not know
#   without a word, so a typing error would make a token that cannot do its work. What the token has already is known
#   to Dynatrace, whatever it is.
package dtgate.known_scopes

import data.dtgate.lib

deny contains violation if {
	_doubts
	some i, scope in _new
	not _in_catalogue(scope)
	finding := _finding(scope)
	violation := {
		"code": finding.code,
		"message": sprintf("scope %q %s; %s", [scope, finding.text, _advice(scope)]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

deny contains violation if {
	_doubts
	some i, scope in _new
	lib.scopes[scope].status == "response_only"
	violation := {
		"code": "scope-response-only",
		"message": sprintf(
			"scope %q is only found on tokens that Dynatrace makes itself and cannot be requested; leave it out",
			[scope],
		),
		"path": sprintf("scopes[%d]", [i]),
	}
}

deny contains violation if {
	_doubts
	some i, scope in _new
	lib.scopes[scope].status == "renamed"
	violation := {
		"code": "scope-renamed",
		"message": sprintf("scope %q was renamed; %s", [scope, _successor(scope)]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

deny contains violation if {
	_doubts
	data.guardrails.known_scopes.legacy == "deny"
	some violation in _legacy
}

warn contains violation if {
	_doubts
	data.guardrails.known_scopes.legacy == "warn"
	some violation in _legacy
}

deny contains lib.unusable_setting("guardrails.known_scopes.legacy", "allow, warn or deny") if {
	not _legacy_usable
}

deny contains lib.unusable_setting("guardrails.known_scopes.extra", "a list of scope names") if {
	not _extra_usable
}

deny contains violation if some violation in lib.unreadable

# Nearly every request asks for nothing but what the catalogue has as current, and there is no more to look at.
_doubts if lib.doubtful_names - _extra != set()

# The scopes, by place, that the catalogue does not simply have as current.
_doubtful := {i: scope |
	some i, scope in lib.asked_scopes
	scope in lib.doubtful_names
	not scope in _extra
}

_extra := {scope |
	_extra_usable
	some scope in data.guardrails.known_scopes.extra
}

# The same, without what the token has already.
_new := {i: scope |
	some i, scope in _doubtful
	lib.gained[i]
}

_legacy contains violation if {
	some i, scope in _doubtful
	not lib.only_disabling
	lib.scopes[scope].status in {"legacy", "removed"}
	violation := {
		"code": "scope-legacy",
		"message": sprintf("scope %q (%s) is from an older Dynatrace, which may ignore it; leave it out if you can", [
			scope,
			object.get(lib.scopes[scope], "description", "no description"),
		]),
		"path": sprintf("scopes[%d]", [i]),
	}
}

_legacy_usable if data.guardrails.known_scopes.legacy in {"allow", "warn", "deny"}

_extra_usable if lib.texts(data.guardrails.known_scopes.extra)

# With a status that no rule here looks at, a scope would pass; it counts as unknown.
_in_catalogue(scope) if {
	lib.scopes[scope].status in {"legacy", "removed", "renamed", "response_only"}
}

# What is wrong with a name that is not in the catalogue, most telling reason first.
_finding(scope) := {"code": "scope-not-ascii", "text": "has characters that no scope has, though they may look right"} if {
	regex.match(`[^\x00-\x7f]`, scope)
} else := {"code": "scope-white-space", "text": "has white space or control characters in it"} if {
	regex.match(`[^!-~]`, scope)
} else := {"code": "scope-wrong-case", "text": "differs from a known scope in upper and lower case"} if {
	_meant[lib.catalogue][lib.plain(scope)]
} else := {"code": "scope-not-of-tokens", "text": "is a scope of OAuth clients and platform tokens, not of access tokens"} if {
	contains(scope, ":")
} else := {"code": "scope-unknown", "text": "is not a scope that Dynatrace is known to have"}

_advice(scope) := sprintf("did you mean %q?", [name]) if {
	name := _meant[lib.catalogue][lib.plain(scope)]
} else := concat("", [
	"take a name from Dynatrace's list of access token scopes, or have a new one added to ",
	"guardrails.known_scopes.extra by whoever runs the gate",
])

# An entry without a successor must not silence the rule that asks for it.
_successor(scope) := sprintf("ask for %q instead", [name]) if {
	name := lib.scopes[scope].replaced_by
	is_string(name)
} else := "ask for it by its new name"

# Only what may be requested is worth a suggestion.
_meant := {catalogue: names |
	some catalogue in lib.catalogues
	names := {lower(name): name |
		some name, scope in data.dynatrace[catalogue]
		scope.status in {"current", "legacy", "removed"}
	}
}
