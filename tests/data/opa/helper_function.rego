package dtgate.helper_function

deny contains msg if {
	name := input.change.name.requested
	not well_formed(name)
	msg := concat(" ", ["name", name, "needs a team and a stage"])
}

well_formed(name) if {
	parts := split(name, "-")
	count(parts) >= 2
	parts[0] in data.opa.teams
	stage(parts[1])
}

stage("dev")

stage("prod")
