package dtgate.lib.callers_test

import data.dtgate.lib
import data.dtgate.lib.requests_test as requests

fingerprint := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

shown := {
	"certificate": {
		"subject": "CN=ci,O=Example",
		"spiffe_id": "spiffe://example/ns/payments/ci",
		"fingerprint": fingerprint,
		"dns": ["CI.example"],
		"uris": ["spiffe://example/ns/payments/ci"],
	},
	"jwt": {
		"issuer": "https://ci.example",
		"subject": "repo:example/payments",
		"claims": {"sub": "repo:example/payments", "groups": ["deploy", 7], "admin": true},
	},
	"teams": ["payments"],
	"token": {"id": requests.caller_id, "kind": "api-token"},
}

claim(name, value) := {"issuer": "https://ci.example", "claim": name, "value": value}

test_a_caller_is_listed_by_all_that_it_shows if {
	every entry in [
		requests.caller_id,
		{"team": "payments"},
		{"subject": "CN=ci,O=Example"},
		{"spiffe": "spiffe://example/ns/payments/ci"},
		{"uri": "spiffe://example/ns/payments/ci"},
		{"fingerprint": fingerprint},
		{"dns": "ci.example"},
		claim("sub", "repo:example/payments"),
		claim("groups", "deploy"),
		claim("groups", 7),
		claim("admin", true),
	] {
		_lists(entry, shown)
		lib.callers_usable([entry])
	}
}

test_others_are_not if {
	every entry in [
		"",
		"repo:example/payments",
		{"team": "platform"},
		{"subject": "CN=ci"},
		{"dns": "ci"},
		{"spiffe": "spiffe://example/ns/payments"},
		{"issuer": "https://other.example", "claim": "sub", "value": "repo:example/payments"},
		claim("sub", "repo:example"),
		claim("groups", ""),
		claim("admin", "true"),
	] {
		not _lists(entry, shown)
	}
}

test_who_shows_nothing_is_in_no_list if {
	nobody := {
		"certificate": {"subject": "", "spiffe_id": "", "fingerprint": "", "dns": [], "uris": []},
		"jwt": {"issuer": "", "subject": "", "claims": {}},
		"teams": [],
		"token": requests.nobody,
	}
	found := lib.listings with input as {"caller": nobody}
	count(found) == 0
	told := lib.caller_told with input as {"caller": nobody}
	told == "a caller without a token"
	without := lib.listings with input as {}
	count(without) == 0
}

test_what_nobody_can_be_listed_by_is_no_list if {
	every list in [
		"*",
		{},
		[7],
		[""],
		[{}],
		[{"team": ""}],
		[{"team": 7}],
		[{"tema": "payments"}],
		[{"team": "payments", "subject": "CN=ci"}],
		[{"spiffe": "spiffe://example/*"}],
		[{"uri": "https://example/*"}],
		[{"dns": "CI.example"}],
		[{"fingerprint": upper(fingerprint)}],
		[{"fingerprint": "01:23"}],
		[{"issuer": "https://ci.example", "claim": "sub"}],
		[claim("sub", "repo:example/*")],
		[claim("sub", null)],
		[claim("", "a")],
	] {
		not lib.callers_usable(list)
	}
	lib.callers_usable([])
}

test_a_message_names_what_is_proven_first if {
	_told(shown) == "team payments"
	_told(object.union(shown, {"teams": []})) == "caller repo:example/payments"
	_told(object.union(shown, {"teams": [], "jwt": {"subject": ""}})) == "caller CN=ci,O=Example"
	by_token := object.union(shown, {"teams": [], "jwt": {"subject": ""}, "certificate": {"subject": ""}})
	_told(by_token) == sprintf("caller %s", [requests.caller_id])
}

_lists(entry, caller) if {
	found := lib.listings with input as {"caller": caller}
	entry in found
}

_told(caller) := told if told := lib.caller_told with input as {"caller": caller}
