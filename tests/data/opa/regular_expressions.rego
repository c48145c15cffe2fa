package dtgate.regular_expressions

deny contains msg if {
	name := input.change.name.requested
	not regex.match(`^[a-z]\w+-\d{2,}$`, name)
	msg := sprintf("name %s is no word and number", [name])
}

deny contains "no names of people" if regex.match(`(?i)\b(john|jane)\b`, input.change.name.requested)
