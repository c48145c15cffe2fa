package dtgate.array_pattern

deny contains msg if {
	[team, stage] := split(input.change.name.requested, "-")
	stage == "prod"
	not team in data.opa.teams
	msg := sprintf("%s may not name tokens for prod", [team])
}
