package dtgate.personal

# Automation has no personal tokens.
deny contains {"message": "no personal tokens", "path": "personalAccessToken"} if input.change.personal.requested
