package dtgate.budget

# At most three scopes, and each one that we know.
deny contains sprintf("%d scopes are too many", [count(input.change.scopes.requested)]) if {
	count(input.change.scopes.requested) > 3
}

deny contains "only reading" if not reading

reading if {
	every scope in object.get(input.change.scopes, "requested", []) {
		endswith(scope, ".read")
	}
}
