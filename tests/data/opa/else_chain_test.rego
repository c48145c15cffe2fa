package dtgate.else_chain_test

import data.dtgate.asks_test as asks
import data.dtgate.else_chain

test_denies if {
	denied := else_chain.deny with input as asks.create("a", ["x", "y", "z"])
	denied == {"at most 2 scopes in default"}
}

test_allows if {
	stage := {"name": "stage", "id": "", "data": {}}
	count(else_chain.deny) == 0 with input as object.union(asks.create("a", ["x", "y", "z"]), {"environment": stage})
}
