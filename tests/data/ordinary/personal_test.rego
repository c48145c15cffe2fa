package dtgate.personal_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.personal

test_a_personal_token_is_denied if {
	count(personal.deny) == 1 with input as requests.create({"name": "a", "personal": true})
}

test_others_pass if {
	every request in [requests.create({"personal": false}), requests.create({"name": "a"}), requests.update({}), requests.delete] {
		count(personal.deny) == 0 with input as request
	}
}
