package dtgate.else_chain

limit := 10 if {
	input.environment.name == "dev"
} else := 5 if {
	input.environment.name == "stage"
} else := 2

deny contains msg if {
	count(input.change.scopes.requested) > limit
	msg := sprintf("at most %d scopes in %s", [limit, input.environment.name])
}
