package dtgate.globs

deny contains msg if {
	some pattern in data.opa.globs
	some scope in input.change.scopes.requested
	glob.match(pattern, ["."], scope)
	msg := sprintf("%s is closed by %s", [scope, pattern])
}
