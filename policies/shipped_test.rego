# METADATA
# title: The shipped policies together
# description: What holds with any settings, and when policies have been removed.
package dtgate.shipped_test

import data.dtgate.blast_radius
import data.dtgate.escalation
import data.dtgate.expiry
import data.dtgate.forbidden_scopes
import data.dtgate.known_scopes
import data.dtgate.lib
import data.dtgate.lib.requests_test as requests
import data.dtgate.minting
import data.dtgate.naming
import data.dtgate.no_self_update
import data.dtgate.protected_tokens
import data.dtgate.reactivation
import data.dtgate.scope_budget

# Terraform makes a disabled token by making it first and disabling it then, with the same body. If the second request
# were denied, an enabled token would stay that Terraform knows nothing of.
test_whatever_is_made_can_be_disabled_with_the_same_body if {
	body := {"name": "payments-prod-ci", "enabled": false, "scopes": ["LogImport", "metrics.read"]}
	token := object.union(body, {"enabled": true})
	denied := _denied with input as requests.known(requests.update(body), token)
		with data.guardrails.protected_tokens as {"ids": [], "names": []}
	{policy | some policy, violations in denied; count(violations) > 0} == set()
}

# Even a token that breaks every rule, by a caller that could make none, and when nobody knows what it is.
test_a_token_can_always_be_disabled if {
	scopes := ["apiTokens.write", "WriteConfig", "not.known", "LogImport"]
	token := {"name": "Wrong Name", "enabled": true, "scopes": scopes}
	alone := requests.from(requests.update({"enabled": false}), {"id": requests.token_id, "kind": "api-token"})
	whole := requests.known(requests.update(object.union(token, {"enabled": false})), token)
	every request in [alone, requests.known(alone, token), whole] {
		denied := _denied with input as request
			with data.guardrails.known_scopes.legacy as "deny"
			with data.guardrails.protected_tokens as {"ids": [], "names": []}
		{policy | some policy, violations in denied; count(violations) > 0} == set()
	}
}

test_the_catalogue_has_only_statuses_that_the_policies_know if {
	every scope in data.dynatrace.scopes {
		scope.status in {"current", "legacy", "removed", "renamed", "response_only"}
	}
}

test_the_example_name_follows_the_pattern if {
	every naming in [naming | naming := data.guardrails.naming] {
		regex.is_valid(naming.pattern)
		regex.match(naming.pattern, naming.example)
	}
}

test_no_two_scopes_of_the_catalogue_read_the_same if {
	count({lib.plain(name) | some name, _ in data.dynatrace.scopes}) == count(data.dynatrace.scopes)
}

test_every_mode_is_one_that_the_gate_knows if {
	every mode in [mode | is_object(data.modes); some mode in data.modes] {
		_mode_known(mode)
	}
}

_mode_known(mode) if _entry_known(mode)

_mode_known(modes) if {
	is_array(modes)
	every entry in modes { _entry_known(entry) }
}

_entry_known(mode) if mode in {"enforce", "warn", "dry_run"}

_entry_known(entry) if entry.mode in {"enforce", "warn", "dry_run"}

# Only policies that are there: one that was removed, with its files, objects to nothing.
_denied["blast_radius"] := blast_radius.deny

_denied["escalation"] := escalation.deny

_denied["expiry"] := expiry.deny

_denied["forbidden_scopes"] := forbidden_scopes.deny

_denied["known_scopes"] := known_scopes.deny

_denied["minting"] := minting.deny

_denied["naming"] := naming.deny

_denied["no_self_update"] := no_self_update.deny

_denied["protected_tokens"] := protected_tokens.deny

_denied["reactivation"] := reactivation.deny

_denied["scope_budget"] := scope_budget.deny
