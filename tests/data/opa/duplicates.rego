package dtgate.duplicates

deny contains msg if {
	some i, j
	input.change.scopes.requested[i] == input.change.scopes.requested[j]
	i < j
	msg := sprintf("%s stands twice", [input.change.scopes.requested[i]])
}
