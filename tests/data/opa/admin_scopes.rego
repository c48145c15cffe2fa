# The oldest way to walk through a list.
package dtgate.admin_scopes

import rego.v1

deny contains msg if {
	scope := input.change.scopes.requested[_]
	scope == data.opa.admin_scopes[_]
	msg := sprintf("scope %s is for administrators", [scope])
}
