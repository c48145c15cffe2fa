package dtgate.warn_only

import data.dtgate.lib.shared

warn contains msg if {
	some scope in input.change.scopes.requested
	shared.is_old(scope)
	msg := sprintf("%s is old: ask for %s", [scope, shared.new_name(scope)])
}
