# Several findings, sorted into one message.
package dtgate.messages

problems contains "the name is long" if count(input.change.name.requested) > 20

problems contains sprintf("scope %s is unknown", [s]) if {
	some s in input.change.scopes.requested
	not known[s]
}

known[s] if s := data.opa.readers[_]

deny contains msg if {
	count(problems) > 0
	msg := concat("; ", sort([p | some p in problems]))
}
