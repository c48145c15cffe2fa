package dtgate.no_self_update_test

import data.dtgate.lib.requests_test as requests
import data.dtgate.no_self_update

test_another_token_may_be_changed if {
	count(_denied(requests.update({"scopes": ["metrics.read"]}))) == 0
	count(_denied(requests.delete)) == 0
	count(_denied(requests.documented)) == 0
}

test_a_creation_names_no_token if {
	count(_denied(requests.create({"name": "payments-prod-ci"}))) == 0
	count(_denied(_of_itself(requests.create({"name": "payments-prod-ci"})))) == 0
}

test_an_old_id_hides_nobody if {
	uuid := object.union(requests.delete, {"token": {"id": "d5836312-5790-4e80-afcf-09971954c3ea"}})
	count(_denied(_of_itself(uuid))) == 0
	requests.codes(_denied(_of_itself(requests.known(uuid, requests.existing)))) == {"self-update"}
}

test_a_caller_without_a_token_is_nobody if {
	count(_denied(requests.from(requests.delete, requests.nobody))) == 0
}

test_a_token_may_not_change_itself if {
	_denied(_of_itself(requests.update({"scopes": ["metrics.read"]}))) == {{
		"code": "self-update",
		"message": sprintf("token %s may not change itself; use another token for this request", [requests.token_id]),
		"path": "id",
	}}
	count(_denied(_of_itself(requests.update({})))) == 1
	count(_denied(_of_itself(requests.update({"enabled": true})))) == 1
}

test_a_token_may_not_disable_itself if {
	requests.messages(_denied(_of_itself(requests.update({"name": "n", "enabled": false})))) == {sprintf(
		"token %s may not disable itself; use another token for this request",
		[requests.token_id],
	)}
}

test_a_token_may_not_delete_itself if {
	requests.messages(_denied(_of_itself(requests.delete))) == {sprintf(
		"token %s may not delete itself; use another token for this request",
		[requests.token_id],
	)}
}

test_a_deletion_is_called_one_whatever_else_it_says if {
	odd := object.union(_of_itself(requests.update({"enabled": false})), {"operation": "token.delete"})
	requests.messages(_denied(odd)) == requests.messages(_denied(_of_itself(requests.delete)))
}

test_case_makes_no_stranger if {
	denied := _denied(requests.from(requests.delete, {"id": lower(requests.token_id), "kind": "api-token"}))
	requests.codes(denied) == {"self-update"}
}

test_a_longer_id_is_a_stranger if {
	longer := concat("", [requests.token_id, "A"])
	count(_denied(requests.from(requests.delete, {"id": longer, "kind": "api-token"}))) == 0
}

test_what_cannot_be_read_is_denied if {
	requests.codes(_denied(requests.from(requests.delete, {"id": 7}))) == {"unreadable-request"}
	requests.codes(_denied(object.union(requests.delete, {"token": {"id": 7}}))) == {"unreadable-request"}
	requests.codes(_denied(object.union(requests.delete, {"token": null}))) == {"unreadable-request"}
	requests.codes(_denied({})) == {"unreadable-request"}
}

_of_itself(request) := requests.from(request, {"id": requests.token_id, "kind": "api-token"})

_denied(request) := denied if {
	denied := no_self_update.deny with input as request
}
