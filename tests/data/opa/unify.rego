package dtgate.unify

deny contains msg if {
	input.change.scopes.requested[i] = scope
	data.opa.pairs[_] = [scope, other]
	input.change.scopes.requested[j] = other
	i != j
	msg := sprintf("%s and %s never together", [scope, other])
}
