package dtgate.grants

# Nobody grants WriteConfig. What a token has already it may keep.
deny contains "nobody grants WriteConfig" if "WriteConfig" in input.change.scopes.added

# Where the token is not known, it counts as new.
deny contains "nobody asks for WriteConfig" if {
	not input.token.known
	some scope in input.change.scopes.requested
	scope == "WriteConfig"
}

warn contains sprintf("takes %s away", [scope]) if some scope in input.change.scopes.removed
