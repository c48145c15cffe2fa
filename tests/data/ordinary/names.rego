package dtgate.names

# Names begin with the team's prefix.
deny contains "names begin with team-" if not startswith(input.change.name.requested, "team-")
