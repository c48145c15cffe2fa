# What several policies use.
package dtgate.lib.shared

is_old(scope) if new_names[scope]

new_name(scope) := new_names[scope]

new_names := {old: new | some old, new in data.opa.renamed}
