package dtgate.expiration

# New tokens expire, within a year.
deny contains "new tokens expire" if {
	input.operation == "token.create"
	not input.change.expiration.requested
}

deny contains "new tokens expire within a year" if {
	input.operation == "token.create"
	time.parse_rfc3339_ns(input.change.expiration.at) > time.add_date(time.parse_rfc3339_ns(input.time), 1, 0, 0)
}
