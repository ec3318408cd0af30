"""What the queue in Redis does at once: see `queue_redis` for the keys. Ownership of a stream is one field of a hash,
and whoever reads a stream is compared with it in the same script: a process that was paused takes nothing more."""

from __future__ import annotations

from xinyu.storage.redis import Script

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

PUT = Script(
    """
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
for i = 2, math.min(#ARGV, room + 1) do redis.call('XADD', KEYS[1], '*', 'p', ARGV[i]) end
return math.max(0, math.min(#ARGV - 1, room))
"""
)
"""Key: a stream. room, then pushes…; answers how many it had room for, which are the first ones."""

BEAT = Script(
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local share = math.ceil(ARGV[3] / redis.call('ZCARD', KEYS[1]))
local mine, free = {}, {}
for partition = 0, ARGV[3] - 1 do
  local owner = redis.call('HGET', KEYS[2], partition)
  if owner == ARGV[1] then
    mine[#mine + 1] = partition
  elseif not owner or not redis.call('ZSCORE', KEYS[1], owner) then
    free[#free + 1] = partition
  end
end
for _, partition in ipairs(free) do
  if #mine < share then
    redis.call('HSET', KEYS[2], partition, ARGV[1])
    mine[#mine + 1] = partition
  end
end
return {share, mine}
"""
)
"""Keys: consumers, owners. me, lease_ms, partitions: says that I live and takes what nobody living owns, up to a fair
share. Answers that share and what is mine, which may be more."""

RELEASE = Script(
    """
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[1] then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
if ARGV[2] == 'leave' then redis.call('ZREM', KEYS[1], ARGV[1]) end
"""
)
"""Keys: consumers, owners. me, stay or leave, then partitions that others may have."""

TAKE = Script(
    """
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[1] then return {'lost', '', {}} end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local got = redis.pcall('XREADGROUP', 'GROUP', ARGV[3], ARGV[1], 'COUNT', ARGV[4], 'STREAMS', KEYS[2], '>')
if got and got.err then
  redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[3], '0', 'MKSTREAM')
  got = redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[1], 'COUNT', ARGV[4], 'STREAMS', KEYS[2], '>')
end
return {'', last and last[1] or '0-0', got and got[1][2] or {}}
"""
)
"""Keys: owners, a stream. me, partition, group, count: new entries, and the id up to which there are none but those
(when they are fewer than `count`)."""

CLAIM = Script(
    """
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[1] then return {'lost', '', {}} end
redis.pcall('XGROUP', 'CREATE', KEYS[2], ARGV[3], '0', 'MKSTREAM')
if ARGV[5] == '0-0' then
  for _, held in ipairs(redis.call('XPENDING', KEYS[2], ARGV[3], '-', '+', 10000)) do
    if held[4] >= tonumber(ARGV[6]) then
      redis.call('XACK', KEYS[2], ARGV[3], held[1])
      redis.call('XDEL', KEYS[2], held[1])
    end
  end
end
local got = redis.call('XAUTOCLAIM', KEYS[2], ARGV[3], ARGV[1], 0, ARGV[5], 'COUNT', ARGV[4])
if got[1] == '0-0' then
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[2], ARGV[3])) do
    if consumer[2] ~= ARGV[1] and consumer[4] == 0 then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[2], ARGV[3], consumer[2])
    end
  end
end
return {'', got[1], got[2]}
"""
)
"""Keys: owners, a stream. me, partition, group, count, from, deliveries: what its former owner had in hand, and from
where to go on (0-0: that was all, and the group forgets former owners). What was given out so often is left to the
outbox: owners die of it."""

STATE = Script(
    NOW
    + """
local depth, taken, oldest = 0, 0, now
for _, stream in ipairs(KEYS) do
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if first then
    depth = depth + redis.call('XLEN', stream)
    oldest = math.min(oldest, tonumber(string.match(first[1], '^%d+')))
    local held = redis.pcall('XPENDING', stream, ARGV[1])
    if not held.err then taken = taken + held[1] end
  end
end
return {depth, taken, now - oldest}
"""
)
"""Keys: the streams. group; answers how many entries there are, how many are in hand, the age of the oldest in ms."""
