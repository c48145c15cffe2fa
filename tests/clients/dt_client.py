"""Drives the token API with the published client `dt`: one JSON line a step, for tests/it/clients.rs.

Arguments: the gate's URL, the upstream's own URL, the credential.
"""

import json
import sys

from dynatrace import Dynatrace
from dynatrace.environment_v2.tokens_api import ApiTokenUpdate

# A token of the simulator's that belongs to nobody else, and one for whom it answers a lookup.
MANAGED = "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"
LOOKED_UP = "dt0c01.A.B"


def step(name, action):
    """What the client gives for a call, or what it raises."""
    try:
        print(json.dumps({"step": name, "result": action()}), flush=True)
    except Exception as error:  # `dt` raises nothing more precise.
        print(json.dumps({"step": name, "error": str(error)}), flush=True)


def shown(token):
    return {
        "id": token.id,
        "name": token.name,
        "enabled": token.enabled,
        "owner": token.owner,
        "scopes": token.scopes,
        "created": token.creation_date and token.creation_date.isoformat(),
    }


def main(gate, upstream, credential):
    client = Dynatrace(gate, credential)
    tokens = client.tokens
    created = []

    def create():
        token = tokens.create("payments-prod-ci", ["metrics.read"], expiration_date="now+14d")
        created.append(token.id)
        return {"id": token.id, "token": token.token[: len(token.id)], "expires": token.expiration_date is not None}

    def put(token_id, **change):
        return tokens.put(token_id, ApiTokenUpdate(**change)).status_code

    step("create", create)
    own = created[0]
    step("get", lambda: shown(tokens.get(own)))
    step("put", lambda: put(own, name="payments-prod-cd", enabled=False, scopes=["metrics.read", "logs.ingest"]))
    step("get after put", lambda: shown(tokens.get(own)))

    step("create forbidden scope", lambda: tokens.create("payments-prod-ci", ["WriteConfig"]).id)
    step("create bad name", lambda: tokens.create("metrics_token", ["metrics.read"]).id)
    step("put forbidden scope", lambda: put(own, scopes=["metrics.read", "WriteConfig"]))
    step("get after denial", lambda: shown(tokens.get(own)))

    # So many that the list has a second page. They are made behind the gate's back.
    direct = Dynatrace(upstream, credential)
    for number in range(200):
        direct.tokens.create(f"many-{number}", ["metrics.read"])
    step("list", lambda: [shown(token) for token in tokens.list(fields="+scopes,+lastUsedDate")])
    step("list selected", lambda: [shown(token) for token in tokens.list(api_token_selector='scope("logs.ingest")')])
    step("lookup", lambda: shown(tokens.lookup(LOOKED_UP)))

    step("delete", lambda: tokens.delete(MANAGED).status_code)
    step("get after delete", lambda: shown(tokens.get(MANAGED)))
    step("rotation", lambda: client.tenant_tokens.start_rotation() is not None)


if __name__ == "__main__":
    main(*sys.argv[1:])
