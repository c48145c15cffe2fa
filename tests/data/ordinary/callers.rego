package dtgate.callers

# Only listed tokens change tokens.
deny contains "ask the platform team" if not input.caller.token.id in data.allowed
