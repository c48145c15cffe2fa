package dtgate.revival

# Nobody reactivates a token.
deny contains "a disabled token stays disabled" if {
	input.change.enabled.requested
	not input.change.enabled.current
	input.operation == "token.update"
}
