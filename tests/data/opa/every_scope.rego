package dtgate.every_scope

read_only if {
	every scope in input.change.scopes.requested {
		endswith(scope, ".read")
	}
}

deny contains "tokens called ro only read" if {
	startswith(input.change.name.requested, "ro-")
	not read_only
}
