package dtgate.expiration_test

import data.dtgate.expiration
import data.dtgate.lib.requests_test as requests

test_a_creation_needs_one if {
	expiration.deny == {"new tokens expire"} with input as requests.create({"name": "a", "scopes": []})
	count(expiration.deny) == 0 with input as requests.create({"expiration": "now+14d", "at": "2026-12-08T10:00:00.000Z"})
}

test_not_for_ever if {
	late := requests.create({"expiration": "now+2y", "at": "2028-11-24T10:00:00.000Z"})
	expiration.deny == {"new tokens expire within a year"} with input as late
}

test_other_operations_need_none if {
	every request in [requests.update({"name": "a"}), requests.delete, requests.known(requests.delete, requests.existing)] {
		count(expiration.deny) == 0 with input as request
	}
}
