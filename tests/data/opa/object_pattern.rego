# Takes an object apart, as an array of findings is.
package dtgate.object_pattern

findings contains {"kind": "scope", "value": s} if {
	s := input.change.scopes.requested[_]
	startswith(s, "logs.")
}

findings contains {"kind": "name", "value": input.change.name.requested} if {
	contains(input.change.name.requested, " ")
}

deny contains msg if {
	findings[{"kind": "scope", "value": scope}]
	msg := sprintf("no log scopes: %s", [scope])
}

deny contains msg if {
	some {"kind": "name", "value": name} in findings
	msg := sprintf("no blanks: %q", [name])
}
