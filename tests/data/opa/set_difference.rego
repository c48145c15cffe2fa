package dtgate.set_difference

requested := {s | some s in input.change.scopes.requested}

allowed := {s | some s in data.opa.readers}

deny contains msg if {
	extra := requested - allowed
	count(extra) > 0
	msg := sprintf("not for readers: %s", [concat(", ", sort(extra))])
}
