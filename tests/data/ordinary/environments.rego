package dtgate.environments

# What the configuration says of an environment decides, and names begin with it.
deny contains "this environment is frozen" if input.environment.data.frozen

deny contains message if {
	prefix := object.get(input.environment.data, "prefix", sprintf("%s-", [input.environment.name]))
	not startswith(input.change.name.requested, prefix)
	message := sprintf("names here begin with %s", [prefix])
}
