package dtgate.weekends

# Nothing is deleted on weekends.
deny contains sprintf("nothing is deleted on a %s", [day]) if {
	endswith(input.operation, ".delete")
	day := time.weekday(time.parse_rfc3339_ns(input.time))
	day in {"Saturday", "Sunday"}
}
