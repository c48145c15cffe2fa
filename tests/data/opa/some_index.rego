package dtgate.some_index

deny contains {"message": msg, "path": path} if {
	some i
	scope := input.change.scopes.requested[i]
	endswith(scope, ".write")
	msg := sprintf("scope number %d writes: %v", [i + 1, scope])
	path := sprintf("scopes[%d]", [i])
}
