package dtgate.expiry_test

import data.dtgate.expiry
import data.dtgate.lib.requests_test as requests

limited := {"max_days": 90, "required": false}

required := {"max_days": 90, "required": true}

test_nothing_is_asked_as_shipped if {
	off := {"max_days": 0, "required": false}
	count(_denied(_creation({}), off)) == 0
	count(_denied(_until("now+100y", "2126-11-24T10:00:00.000Z"), off)) == 0
	count(_denied(_creation({"expiration": "tomorrow"}), off)) == 0
}

test_a_token_lives_as_long_as_it_may if {
	count(_denied(_until("now+90d", "2027-02-22T10:00:00.000Z"), required)) == 0
	count(_denied(_until("1803290400000", "2027-02-22T10:00:00.000Z"), required)) == 0
	count(_denied(_until("2020-01-01T00:00Z", "2020-01-01T00:00:00.000Z"), required)) == 0
}

test_a_token_that_would_live_longer_is_denied if {
	_denied(_until("now+91d", "2027-02-23T10:00:00.000Z"), limited) == {{
		"code": "expiry",
		"message": concat("", [
			"the token would live until 2027-02-23T10:00:00.000Z; ",
			"ask for 2027-02-22T10:00:00Z at the latest, for example \"expirationDate\": \"now+14d\"",
		]),
		"path": "expirationDate",
	}}
	requests.codes(_denied(_until("now+1y", "2027-02-22T10:00:00.001Z"), limited)) == {"expiry"}
}

test_an_expiration_that_nobody_understands_is_denied if {
	denied := _denied(_creation({"expiration": "tomorrow"}), limited)
	requests.codes(denied) == {"expiry-unclear"}
	some message in requests.messages(denied)
	startswith(message, "nobody can tell when the token would expire; ask for 2027-02-22T10:00:00Z at the latest")
}

test_an_expiration_is_only_needed_where_that_is_said if {
	count(_denied(_creation({}), limited)) == 0
	requests.codes(_denied(_creation({}), required)) == {"expiry-missing"}
	requests.messages(_denied(_creation({}), {"max_days": 0, "required": true})) == {
		"a new token needs an expiration, for example \"expirationDate\": \"now+14d\"",
	}
}

test_each_api_is_told_its_own_words if {
	v1 := object.union(_creation({}), {"api": "v1"})
	requests.paths(_denied(v1, required)) == {"expiresIn"}
	some message in requests.messages(_denied(v1, required))
	contains(message, "\"expiresIn\": {\"value\": 14, \"unit\": \"DAYS\"}")
}

test_a_cluster_token_is_a_token if {
	cluster := object.union(_creation({}), {"operation": "cluster_token.create"})
	requests.codes(_denied(cluster, required)) == {"expiry-missing"}
}

test_only_new_tokens_are_looked_at if {
	every request in [
		requests.update({"expiration": "now+10y", "at": "2036-11-24T10:00:00.000Z"}),
		requests.update({"enabled": false}),
		requests.delete,
		requests.other("activegate_token.create", {}),
	] {
		count(_denied(request, required)) == 0
	}
}

test_an_unusable_setting_denies if {
	every max in ["90", null, -1, 1.5, 36501, [90]] {
		requests.codes(_denied(requests.delete, {"max_days": max, "required": true})) == {"unusable-setting"}
	}
	every value in ["yes", null, 1] {
		requests.codes(_denied(requests.delete, {"max_days": 90, "required": value})) == {"unusable-setting"}
	}
	requests.codes(_denied(requests.delete, {})) == {"unusable-setting"}
}

test_what_cannot_be_read_is_denied if {
	"unreadable-request" in requests.codes(_denied({}, limited))
}

_creation(asked) := requests.create(object.union({"name": "payments-prod-ci", "scopes": ["metrics.read"]}, asked))

_until(text, at) := _creation({"expiration": text, "at": at})

_denied(request, settings) := denied if {
	denied := expiry.deny with input as request with data.guardrails.expiry as settings
}
