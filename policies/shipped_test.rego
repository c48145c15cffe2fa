# METADATA
# title: The shipped settings
# description: What the policies say with the settings of data.yaml. Whoever changes a setting may have to change this.
package dtgate.shipped_test

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

test_a_compliant_request_passes_every_policy if {
	scopes := ["metrics.read", "entities.read", "problems.read"]
	every request in [
		requests.create({"name": "payments-prod-ci", "scopes": scopes}),
		requests.create({"name": "payments-prod-ci", "scopes": scopes, "enabled": true}),
		requests.update({"name": "payments-prod-ci", "scopes": scopes}),
		requests.update({"name": "payments-prod-ci", "scopes": scopes, "enabled": false}),
		requests.other("connection_info.read", {}),
		requests.other("installer.download", {}),
		requests.other("dashboard_sharing.read", {}),
		requests.from(requests.delete, requests.nobody),
	] {
		denied := _denied with input as request
		warned := known_scopes.warn with input as request
		{policy | some policy, violations in denied; count(violations) > 0} == set()
		count(warned) == 0
	}
}

test_the_documented_example_is_denied_for_its_powers_and_its_size if {
	denied := _denied with input as requests.documented
	{policy | some policy, violations in denied; count(violations) > 0} == {
		"escalation",
		"forbidden_scopes",
		"scope_budget",
	}
	{requests.documented_scopes[i] |
		some violation in denied.forbidden_scopes
		some i
		violation.path == sprintf("scopes[%d]", [i])
		requests.documented_scopes[i]
	} == {"WriteConfig", "TenantTokenManagement", "ActiveGateCertManagement"}
}

test_the_documented_example_is_warned_of_its_legacy_scopes if {
	warned := known_scopes.warn with input as requests.documented
	requests.paths(warned) == {"scopes[11]", "scopes[12]"}
}

test_whatever_makes_credentials_is_forbidden if {
	every class in ["mint", "mint-infrastructure"] {
		every name in [name | some name, scope in data.dynatrace.scopes; scope.class == class] {
			name in data.guardrails.forbidden_scopes
		}
	}
}

test_forbidden_scopes_are_in_the_catalogue if {
	every scope in data.guardrails.forbidden_scopes {
		_status(scope) == "current"
	}
}

_status(scope) := data.dynatrace.scopes[scope].status

_status(scope) := data.dynatrace.cluster_scopes[scope].status if not data.dynatrace.scopes[scope]

test_whatever_else_makes_credentials_is_denied_until_it_is_listed if {
	every operation in [
		"activegate_token.create",
		"edge_connect.create",
		"tenant_token_rotation.start",
		"token_management_token.create",
		"token_settings.update",
		"agent_connection_token.read",
		"an.operation.of.tomorrow",
	] {
		denied := _denied with input as requests.other(operation, {})
		{policy | some policy, violations in denied; count(violations) > 0} == {"minting"}
	}
}

# Terraform makes a disabled token by making it first and disabling it then, with the same body. If the second request
# were denied, an enabled token would stay that Terraform knows nothing of.
test_whatever_is_made_can_be_disabled_with_the_same_body if {
	scopes := ["LogImport", "metrics.read"]
	body := {"name": "payments-prod-ci", "enabled": false, "scopes": scopes}
	made := _denied with input as requests.create(body)
	{policy | some policy, violations in made; count(violations) > 0} == set()
	token := {"name": "payments-prod-ci", "enabled": true, "scopes": scopes}
	disabled := _denied with input as requests.known(requests.update(body), token)
	{policy | some policy, violations in disabled; count(violations) > 0} == set()
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
		{policy | some policy, violations in denied; count(violations) > 0} == set()
	}
}

test_the_catalogue_has_only_statuses_that_the_policies_know if {
	{scope.status | some scope in data.dynatrace.scopes} == {"current", "legacy", "removed", "renamed", "response_only"}
}

test_the_example_name_follows_the_pattern if {
	regex.is_valid(data.guardrails.naming.pattern)
	regex.match(data.guardrails.naming.pattern, data.guardrails.naming.example)
}

test_no_two_scopes_of_the_catalogue_read_the_same if {
	count({lib.plain(name) | some name, _ in data.dynatrace.scopes}) == count(data.dynatrace.scopes)
}

test_every_mode_is_one_that_the_gate_knows if {
	every mode in data.modes {
		_mode_known(mode)
	}
}

test_a_failed_lookup_denies if {
	data.lookup.required == true
}

_mode_known(mode) if mode in {"enforce", "warn", "dry_run"}

_mode_known(mode) if mode.mode in {"enforce", "warn", "dry_run"}

_denied := {
	"escalation": escalation.deny,
	"expiry": expiry.deny,
	"forbidden_scopes": forbidden_scopes.deny,
	"known_scopes": known_scopes.deny,
	"minting": minting.deny,
	"naming": naming.deny,
	"no_self_update": no_self_update.deny,
	"protected_tokens": protected_tokens.deny,
	"reactivation": reactivation.deny,
	"scope_budget": scope_budget.deny,
}
