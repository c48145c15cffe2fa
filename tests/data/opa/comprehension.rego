package dtgate.comprehension

deny contains msg if {
	writing := [s | s := input.change.scopes.requested[_]; contains(lower(s), "write")]
	count(writing) > 1
	msg := sprintf("%d scopes write: %s", [count(writing), concat(", ", writing)])
}
