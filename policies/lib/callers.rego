# Lists of callers in settings: by the public id of a token, which is a text, or by an object with what data.callers has
# in an entry, or with a team of data.callers. Certificates and claims are proofs; the id of a token is none.
package dtgate.lib

# METADATA
# description: |
#   The entries that the caller is listed by, each as it has to be written. What the caller does not show lists nobody.
# scope: rule
listings contains id if {
	shows_token
	id := input.caller.token.id
}

listings contains {"team": team} if some team in input.caller.teams

listings contains {"subject": subject} if {
	subject := input.caller.certificate.subject
	subject != ""
}

listings contains {"spiffe": id} if {
	id := input.caller.certificate.spiffe_id
	id != ""
}

listings contains {"fingerprint": fingerprint} if {
	fingerprint := input.caller.certificate.fingerprint
	fingerprint != ""
}

listings contains {"dns": lower(name)} if some name in input.caller.certificate.dns

listings contains {"uri": uri} if some uri in input.caller.certificate.uris

listings contains {"issuer": issuer, "claim": claim, "value": value} if {
	issuer := input.caller.jwt.issuer
	issuer != ""
	some claim, value in input.caller.jwt.claims
}

# A claim that is a list: each that is in it.
listings contains {"issuer": issuer, "claim": claim, "value": value} if {
	issuer := input.caller.jwt.issuer
	issuer != ""
	some claim, values in input.caller.jwt.claims
	is_array(values)
	some value in values
}

# METADATA
# description: Whether a list of callers is one that somebody can be in.
callers_usable(list) if {
	is_array(list)
	every entry in list {
		_entry_usable(entry)
	}
}

# METADATA
# description: What an entry may be, for whoever gets it wrong.
# scope: document
callers_wanted := concat("", [
	"token ids, or objects: {team}, {spiffe}, {subject}, {dns}, {uri}, {fingerprint} (64 hexadecimal digits, in lower case) or ",
	"{issuer, claim, value}, written out; what only begins so is for data.callers, which makes a team of it",
])

# METADATA
# description: The caller in a message, by what is proven before what is only shown.
# scope: document
default caller_told := "a caller without a token"

caller_told := sprintf("team %s", [concat(", ", input.caller.teams)]) if {
	count(input.caller.teams) > 0
} else := sprintf("caller %s", [input.caller.jwt.subject]) if {
	input.caller.jwt.subject != ""
} else := sprintf("caller %s", [input.caller.certificate.subject]) if {
	input.caller.certificate.subject != ""
} else := sprintf("caller %s", [input.caller.token.id]) if {
	shows_token
}

_entry_usable(entry) if {
	_is_text(entry)
} else if {
	is_object(entry)
	count(entry) == 1
	every kind, name in entry {
		_name_usable(kind, name)
	}
} else if {
	is_object(entry)
	object.keys(entry) == {"claim", "issuer", "value"}
	_is_text(entry.issuer)
	_is_text(entry.claim)
	_value_usable(entry.value)
}

_name_usable(kind, name) if {
	kind in {"subject", "team"}
	_is_text(name)
} else if {
	kind in {"spiffe", "uri"}
	_is_text(name)
	not endswith(name, "*")
} else if {
	kind == "dns"
	_is_text(name)
	name == lower(name)
} else if {
	kind == "fingerprint"
	regex.match(`^[0-9a-f]{64}$`, name)
}

_is_text(value) if {
	is_string(value)
	value != ""
}

_value_usable(value) if {
	_is_text(value)
	not endswith(value, "*")
} else if {
	is_number(value)
} else if {
	is_boolean(value)
}
