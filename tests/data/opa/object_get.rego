package dtgate.object_get

name := object.get(input.change.name, "requested", "")

scopes := object.get(input, ["change", "scopes", "requested"], [])

deny contains "tokens without a name have no scopes" if {
	name == ""
	count(scopes) > 0
}
