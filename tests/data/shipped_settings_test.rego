# METADATA
# title: The shipped settings
# description: What the policies say with the settings of data.yaml. Not shipped: whoever changes a setting need not change a test.
package dtgate.shipped_settings_test

import data.dtgate.blast_radius
import data.dtgate.escalation
import data.dtgate.expiry
import data.dtgate.forbidden_scopes
import data.dtgate.known_scopes
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

test_a_disabled_token_with_legacy_scopes_can_be_made if {
	body := {"name": "payments-prod-ci", "enabled": false, "scopes": ["LogImport", "metrics.read"]}
	denied := _denied with input as requests.create(body)
	{policy | some policy, violations in denied; count(violations) > 0} == set()
}

test_a_failed_lookup_denies if {
	data.lookup.required == true
}

_denied.blast_radius := blast_radius.deny

_denied.escalation := escalation.deny

_denied.expiry := expiry.deny

_denied.forbidden_scopes := forbidden_scopes.deny

_denied.known_scopes := known_scopes.deny

_denied.minting := minting.deny

_denied.naming := naming.deny

_denied.no_self_update := no_self_update.deny

_denied.protected_tokens := protected_tokens.deny

_denied.reactivation := reactivation.deny

_denied.scope_budget := scope_budget.deny
