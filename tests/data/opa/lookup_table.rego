package dtgate.lookup_table

import data.opa.team_scopes

team := split(input.change.name.requested, "-")[0]

deny contains msg if {
	some scope in input.change.scopes.requested
	not scope in team_scopes[team]
	msg := sprintf("team %s may not have %s", [team, scope])
}
