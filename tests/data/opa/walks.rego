package dtgate.walks

deny contains msg if {
	[path, value] := walk(input.unknown_members)
	is_string(value)
	contains(value, "password")
	msg := sprintf("no passwords in %s", [concat(".", [sprintf("%v", [p]) | p := path[_]])])
}
