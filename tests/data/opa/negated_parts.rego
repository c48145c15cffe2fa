package dtgate.negated_parts

deny contains "rotate by a ticket: name it ticket-NUMBER" if {
	input.operation == "token.create"
	not ticket
}

ticket := number if {
	startswith(input.change.name.requested, "ticket-")
	number := to_number(trim_prefix(input.change.name.requested, "ticket-"))
	number > 0
}
