# METADATA
# title: Naming
# description: |
#   A token's name says whose it is, for which stage and what for. A name that the token has already is nobody's
#   mistake today: Terraform repeats it with every update.
package dtgate.naming

import data.dtgate.lib

# A pattern that is no regular expression matches nothing in OPA and is an error in regorus: either denies.
deny contains violation if {
	_pattern_usable
	lib.about_tokens
	lib.renaming
	name := input.change.name.requested
	not regex.match(data.guardrails.naming.pattern, name)
	violation := {
		"code": "name-pattern",
		"message": sprintf("name %q does not follow the naming rule; choose one such as %q (pattern %s)", [
			name,
			data.guardrails.naming.example,
			data.guardrails.naming.pattern,
		]),
		"path": "name",
	}
}

deny contains violation if {
	lib.creating
	not input.change.name.requested
	violation := {
		"code": "name-missing",
		"message": sprintf("a new token needs a name; choose one such as %q", [data.guardrails.naming.example]),
		"path": "name",
	}
}

deny contains lib.unusable_setting("guardrails.naming.pattern", "a regular expression") if {
	not _pattern_usable
}

deny contains lib.unusable_setting("guardrails.naming.example", "text") if {
	not _example_usable
}

deny contains violation if some violation in lib.unreadable

_pattern_usable if is_string(data.guardrails.naming.pattern)

_example_usable if is_string(data.guardrails.naming.example)
