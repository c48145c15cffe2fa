# Constants of several forms, joined.
package dtgate.tiers

weights := {"read": 1, "write": 5}

weight(scope) := weights[kind] if {
	parts := split(scope, ".")
	kind := parts[count(parts) - 1]
} else := 3

total := sum([weight(s) | some s in input.change.scopes.requested])

deny contains sprintf("these scopes weigh %d, 10 are allowed", [total]) if total > 10
