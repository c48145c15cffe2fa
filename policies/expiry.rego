# METADATA
# title: Expiry
# description: |
#   How long a new token may live, and whether it has to expire at all. Once a token is made its expiration cannot be
#   changed. Whatever notation a request has, the instant counts that it means; one that nobody can tell is denied.
package dtgate.expiry

import data.dtgate.lib

deny contains violation if {
	_required
	lib.creating
	not input.change.expiration.requested
	not _limited
	violation := {
		"code": "expiry-missing",
		"message": sprintf("a new token needs an expiration, for example %s", [_example]),
		"path": _member,
	}
}

deny contains violation if {
	_required
	_limited
	lib.creating
	not input.change.expiration.requested
	violation := {
		"code": "expiry-missing",
		"message": sprintf("a new token needs an expiration; ask for %s at the latest, for example %s", [_latest, _example]),
		"path": _member,
	}
}

deny contains violation if {
	_limited
	lib.creating
	not _in_time
	at := input.change.expiration.at
	violation := {
		"code": "expiry",
		"message": sprintf("the token would live until %s; ask for %s at the latest, for example %s", [at, _latest, _example]),
		"path": _member,
	}
}

deny contains violation if {
	_limited
	lib.creating
	input.change.expiration.requested
	not input.change.expiration.at
	violation := {
		"code": "expiry-unclear",
		"message": sprintf("nobody can tell when the token would expire; ask for %s at the latest, for example %s", [
			_latest,
			_example,
		]),
		"path": _member,
	}
}

deny contains lib.unusable_setting("guardrails.expiry.max_days", "a whole number of days, 0 for no limit, at most 36500") if {
	not _max_usable
}

deny contains lib.unusable_setting("guardrails.expiry.required", "true or false") if {
	not _required_usable
}

deny contains violation if some violation in lib.unreadable

_limited if {
	_max_usable
	data.guardrails.expiry.max_days > 0
}

_required if data.guardrails.expiry.required == true

_in_time if time.parse_rfc3339_ns(input.change.expiration.at) <= _latest_ns

_latest_ns := time.add_date(time.parse_rfc3339_ns(input.time), 0, 0, data.guardrails.expiry.max_days)

_latest := time.format(_latest_ns)

_member := "expiresIn" if {
	input.api == "v1"
} else := "expirationDate"

_example := "\"expiresIn\": {\"value\": 14, \"unit\": \"DAYS\"}" if {
	input.api == "v1"
} else := "\"expirationDate\": \"now+14d\""

_required_usable if is_boolean(data.guardrails.expiry.required)

_max_usable if {
	is_number(data.guardrails.expiry.max_days)
	data.guardrails.expiry.max_days >= 0
	data.guardrails.expiry.max_days <= 36500
	data.guardrails.expiry.max_days == floor(data.guardrails.expiry.max_days)
}
