package dtgate.office_hours

deny contains "tokens are changed from Monday to Friday, 8 to 18" if not open_now

open_now if {
	now := time.parse_rfc3339_ns(input.time)
	not time.weekday([now, "Europe/Berlin"]) in ["Saturday", "Sunday"]
	[hour, _, _] := time.clock([now, "Europe/Berlin"])
	hour >= 8
	hour < 18
}
