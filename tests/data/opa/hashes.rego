package dtgate.hashes

deny contains "this name is reserved" if {
	crypto.sha256(lower(input.change.name.requested)) in data.opa.reserved
}
