# Written for OPA's Envoy plugin.
package dtgate.envoy_shape

import input.attributes.request.http as http_request

deny contains "nobody deletes by script" if {
	http_request.method == "DELETE"
	contains(http_request.headers["user-agent"], "python")
}
