package dtgate.name_is_there

deny contains "a new token needs a name" if {
	input.operation == "token.create"
	not input.change.name.requested
}
