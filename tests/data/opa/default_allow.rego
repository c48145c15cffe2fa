# A verdict turned round: what is not allowed is denied.
package dtgate.default_allow

default allow := false

allow if input.operation != "token.delete"

allow if input.caller.token.id in data.opa.owners

deny contains "only owners delete tokens" if not allow
