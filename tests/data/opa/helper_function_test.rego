package dtgate.helper_function_test

import data.dtgate.asks_test as asks
import data.dtgate.helper_function

test_denies if {
	denied := helper_function.deny with input as asks.create("pay-qa", [])
	denied == {"name pay-qa needs a team and a stage"}
}

test_allows if count(helper_function.deny) == 0 with input as asks.create("pay-prod", [])
