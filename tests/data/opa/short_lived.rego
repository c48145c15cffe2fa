package dtgate.short_lived

import future.keywords.contains
import future.keywords.if

max_days := 30

deny contains msg if {
	at := time.parse_rfc3339_ns(input.change.expiration.at)
	latest := time.add_date(time.parse_rfc3339_ns(input.time), 0, 0, max_days)
	at > latest
	msg := sprintf("a token lives %d days at most", [max_days])
}
