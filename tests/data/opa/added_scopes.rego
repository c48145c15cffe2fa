package dtgate.added_scopes

deny contains {"message": msg, "code": "added", "path": "scopes"} if {
	input.operation == "token.update"
	added := {s | s := input.change.scopes.requested[_]} - {s | s := input.token.current.scopes[_]}
	risky := added & {"WriteConfig", "tenantTokenManagement"}
	risky != set()
	msg := sprintf("an update may not add %v", [concat(", ", risky)])
}
