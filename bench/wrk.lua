-- One line of JSON at the end; with an argument each thread stops after that many requests. They are counted when they
-- are sent: to be told of responses wrk makes tables of their fields, which costs as much as a proxy's work.
local most, seen = nil, 0

function init(args)
  most = tonumber(args[1])
  if most then
    local text = wrk.format()
    request = function()
      seen = seen + 1
      if seen >= most then wrk.thread:stop() end
      return text
    end
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nJSON {"requests": %d, "microseconds": %d, "bytes": %d, "median": %d, "p99": %d, "broken": %d, "refused": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
