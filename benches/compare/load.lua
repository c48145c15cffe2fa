-- What wrk sends: every request of a prepared file in turn, and at the end one line of JSON with what wrk counted.
-- The file holds one request a line: method, path and body, separated by tabs. Knows nothing of who answers.

local requests, count, turn = {}, 0, 0

function init(args)
   local headers = { ["Host"] = wrk.headers["Host"] }
   for line in io.lines(args[2]) do
      local name, value = line:match("^([^:]+): (.*)$")
      headers[name] = value
   end
   for line in io.lines(args[1]) do
      local method, path, body = line:match("^([^\t]+)\t([^\t]+)\t(.*)$")
      if body == "" then body = nil end
      count = count + 1
      requests[count] = wrk.format(method, path, headers, body)
   end
   if count == 1 then
      -- Always the same: wrk then asks Lua only once, and has more of the core for the upstream.
      request = nil
      wrk.format = function() return requests[1] end
   end
end

function request()
   turn = turn % count + 1
   return requests[turn]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\nRESULT {"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50":%d,"p99":%d,"p999":%d,"max":%d}\n',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
