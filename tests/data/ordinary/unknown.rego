package dtgate.unknown

# Nothing that we do not know.
deny contains sprintf("what is %s?", [name]) if some name, _ in input.unknown_members

deny contains "too much of it" if count(input.unknown_members) > 1

deny contains "an owner cannot be given" if input.unknown_members.owner
