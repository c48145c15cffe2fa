-- What wrk sends: every request of a prepared file in turn, and at the end one line of JSON with what wrk counted.
-- The file holds one request a line: method, path and body, separated by tabs. Knows nothing of who answers.
--
-- wrk itself takes only 400 and more for a refusal. With "statuses" as third argument every answer's status is looked
-- at; wrk then copies every answer for Lua, which costs a few percent of small ones, and two fifths of those of 1 MiB.
-- With "denied" every answer that is not 403 is strange.

local requests, count, turn, threads = {}, 0, 0, {}

function setup(thread)
   threads[#threads + 1] = thread
end

function init(args)
   -- A global: `done` reads it from outside this thread.
   strange = 0
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
   if args[3] == "statuses" then
      response = function(status)
         if status < 200 or (status > 299 and status < 400) then strange = strange + 1 end
      end
   elseif args[3] == "denied" then
      response = function(status)
         if status ~= 403 then strange = strange + 1 end
      end
   end
end

function request()
   turn = turn % count + 1
   return requests[turn]
end

function done(summary, latency)
   local errors, refused, strange = summary.errors, summary.errors.status, 0
   for _, thread in ipairs(threads) do
      strange = strange + thread:get("strange")
   end
   io.write(string.format(
      '\nRESULT {"requests":%d,"seconds":%.6f,"bytes":%.0f,"refused":%d,"strange":%d,"broken":%d,'
         .. '"p50":%d,"p99":%d,"p999":%d,"max":%d}\n',
      summary.requests, summary.duration / 1e6, summary.bytes, refused, strange,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
