package dtgate.deletions_test

import data.dtgate.deletions
import data.dtgate.lib.requests_test as requests

platform := {"platform": {requests.caller_id: true}}

own := {"id": requests.token_id, "kind": "api-token"}

test_the_team_deletes if {
	count(deletions.deny) == 0 with input as requests.delete with data.teams as platform
	count(deletions.deny) == 0 with input as requests.known(requests.delete, requests.existing) with data.teams as platform
}

test_others_do_not if {
	count(deletions.deny) == 1 with input as requests.delete with data.teams as {"platform": {"x": true}}
	count(deletions.deny) == 1 with input as requests.from(requests.delete, requests.nobody) with data.teams as platform
}

test_ones_own_token_stays if {
	update := requests.from(requests.update({"name": "a"}), own)
	count(deletions.deny) == 1 with input as update with data.teams as platform
	count(deletions.deny) == 2 with input as requests.known(update, requests.existing) with data.teams as platform
}

test_creations_pass if {
	count(deletions.deny) == 0 with input as requests.create({"name": "a"}) with data.teams as {}
	count(deletions.deny) == 0 with input as requests.from(requests.create({}), requests.nobody) with data.teams as {}
}
