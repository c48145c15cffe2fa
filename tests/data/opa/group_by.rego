package dtgate.group_by

families := {family: members |
	family := split(input.change.scopes.requested[_], ".")[0]
	members := {s |
		s := input.change.scopes.requested[_]
		split(s, ".")[0] == family
	}
}

deny contains msg if {
	count(families[family]) > 2
	msg := sprintf("more than two scopes of %s", [family])
}
