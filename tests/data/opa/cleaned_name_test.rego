package dtgate.cleaned_name_test

import data.dtgate.asks_test as asks
import data.dtgate.cleaned_name

test_denies if {
	denied := cleaned_name.deny with input as asks.create(" ADMIN \t x", [])
	denied == {"no admin tokens"}
}

test_allows if count(cleaned_name.deny) == 0 with input as asks.create("adminx", [])
