package dtgate.deletions

# Only the platform team deletes, and nobody the token that he shows.
deny contains "only the platform team deletes" if {
	input.operation == "token.delete"
	not data.teams.platform[input.caller.token.id]
}

deny contains sprintf("%s is your own", [input.token.id]) if input.token.id == input.caller.token.id

deny contains "it is your own" if input.token.current.id == input.caller.token.id
