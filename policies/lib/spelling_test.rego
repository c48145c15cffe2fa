package dtgate.lib_test

import data.dtgate.lib

test_plain_takes_away_case_and_white_space if {
	lib.plain("WriteConfig") == "writeconfig"
	lib.plain(" \tWrite Config\n") == "writeconfig"
	lib.plain("apiTokens.write") == "apitokens.write"
	lib.plain("") == ""
}

test_plain_sees_through_look_alikes if {
	lib.plain("Writ\u0435Config") == "writeconfig"
	lib.plain("Write\u0421onfig") == "writeconfig"
	lib.plain("Write\u200bConfig") == "writeconfig"
	lib.plain("\ufeffWriteConfig\u00a0") == "writeconfig"
	lib.plain("apiT\u03bfkens.write") == "apitokens.write"
	lib.plain("apiTo\u212aens.write") == "apitokens.write"
	lib.plain("apiTokens\u2024write") == "apitokens.write"
}

test_plain_keeps_different_names_apart if {
	lib.plain("metrics.read") != lib.plain("metrics.write")
	lib.plain("events_read") != lib.plain("events.read")
}
