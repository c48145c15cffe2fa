# METADATA
# title: Scope budget
# description: |
#   A token may have so many scopes and no more; two small ones are safer than a large one. One that has more already may
#   keep them or lose some, not gain any.
package dtgate.scope_budget

import data.dtgate.lib

deny contains violation if {
	_max_usable
	asked := count(lib.asked_scopes)
	asked > data.guardrails.scope_budget.max
	count(lib.gained_names) > 0
	violation := {
		"code": "scope-budget",
		"message": sprintf("too many scopes: %d requested, %d allowed; split the work over several tokens", [
			asked,
			data.guardrails.scope_budget.max,
		]),
		"path": "scopes",
	}
}

deny contains lib.unusable_setting("guardrails.scope_budget.max", "a whole number, 0 or more") if {
	not _max_usable
}

deny contains violation if some violation in lib.unreadable

_max_usable if {
	is_number(data.guardrails.scope_budget.max)
	data.guardrails.scope_budget.max >= 0
	data.guardrails.scope_budget.max == floor(data.guardrails.scope_budget.max)
}
