package dtgate.asks_test

base := {
	"api": "v2",
	"environment": {"name": "default", "id": "", "data": {}},
	"caller": {"address": "10.1.2.3", "token": {"id": "dt0c01.CALLER", "kind": "api-token"}},
	"change": {"name": {}, "enabled": {}, "scopes": {}, "expiration": {}, "personal": {}},
	"time": "2026-11-24T10:00:00.000Z",
}

create(name, scopes) := object.union(base, {
	"operation": "token.create",
	"change": {"name": {"requested": name}, "scopes": {"requested": scopes}},
})

update(current, scopes) := object.union(base, {
	"operation": "token.update",
	"token": {"id": "dt0c01.T", "known": true, "current": {"scopes": current}},
	"change": {"scopes": {"requested": scopes}},
})

delete(caller) := object.union(base, {
	"operation": "token.delete",
	"token": {"id": "dt0c01.T", "known": false},
	"caller": {"token": {"id": caller}},
})

without_name := object.union(base, {
	"operation": "token.create",
	"change": {"scopes": {"requested": ["slo.read"]}},
})

until(at) := object.union(create("a", []), {"change": {"expiration": {"at": at}}})

from(address) := object.union(create("a", []), {"caller": {"address": address}})

http(method, agent) := object.union(delete("dt0c01.OTHER"), {"attributes": {"request": {"http": {
	"method": method,
	"headers": {"user-agent": agent},
}}}})
