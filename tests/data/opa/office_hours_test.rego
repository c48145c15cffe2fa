package dtgate.office_hours_test

import data.dtgate.asks_test as asks
import data.dtgate.office_hours

test_denies if {
	denied := office_hours.deny with input as object.union(asks.create("a", []), {"time": "2026-11-28T10:00:00.000Z"})
	count(denied) == 1
}

test_is_summer if {
	count(office_hours.deny) == 0 with input as object.union(asks.create("a", []), {"time": "2026-07-01T06:00:00.000Z"})
	count(office_hours.deny) == 1 with input as object.union(asks.create("a", []), {"time": "2026-12-01T06:00:00.000Z"})
}
