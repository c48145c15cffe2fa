package dtgate.network

# Tokens are changed from our own network.
deny contains "not from here" if not ours

ours if {
	some range in data.networks
	net.cidr_contains(range, input.caller.address)
}
