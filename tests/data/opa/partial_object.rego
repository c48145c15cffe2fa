package dtgate.partial_object

wanted[scope] := count(parts) if {
	some scope in input.change.scopes.requested
	parts := split(scope, ".")
}

deny contains msg if {
	some scope, parts in wanted
	parts > 2
	msg := sprintf("%s has %d parts", [scope, parts])
}
