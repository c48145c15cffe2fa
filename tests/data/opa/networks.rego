package dtgate.networks

import rego.v1

inside if {
	some cidr in data.opa.networks
	net.cidr_contains(cidr, input.caller.address)
}

deny contains sprintf("%s is not in our networks", [input.caller.address]) if not inside
