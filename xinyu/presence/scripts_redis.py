"""What presence does atomically in Redis: Lua, each script touching one key (see store_redis)."""

from __future__ import annotations

from xinyu.storage.redis import Script

NEWER = "local function newer(a, b) return #a > #b or (#a == #b and a > b) end\n"
"""Decimal numbers as text, so that none is too long for a Lua number."""

PUT = Script(
    NEWER
    + """
local held, highest, replaced, missing, last = {}, {}, {}, {}, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 1) == '#' then
    highest[all[i]] = all[i + 1]
  else
    local node, epoch, generation, expires, number, turn, place =
      string.match(all[i + 1], '^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) ')
    held[all[i]] = {node = node, epoch = epoch, generation = generation, expires = expires, number = number,
                    turn = turn, place = place, text = all[i + 1]}
    last = math.max(last, tonumber(number))
  end
end
local function lose(session, text)
  replaced[#replaced + 1], replaced[#replaced + 2] = session, text
  redis.call('HDEL', KEYS[1], session)
  held[session] = nil
end
local function below(turn, session, other_turn, other_session)
  return newer(other_turn, turn) or (turn == other_turn and session < other_session)
end
local function loses_place(session, turn, place)
  local top_turn, top_session = string.match(highest[place] or '0 ', '^(%d+) (.*)$')
  if below(turn, session, top_turn, top_session) then return true end
  if highest[place] ~= turn .. ' ' .. session then
    highest[place] = turn .. ' ' .. session
    redis.call('HSET', KEYS[1], place, highest[place])
  end
  if newer(turn, highest['##'] or '0') then
    highest['##'] = turn
    redis.call('HSET', KEYS[1], '##', turn)
  end
  for other, entry in pairs(held) do
    if entry.place == place and below(entry.turn, other, turn, session) then lose(other, entry.text) end
  end
  return false
end
for i = 3, #ARGV, 8 do
  local session, node, epoch, generation, expires = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local turn, place = ARGV[i + 5], ARGV[i + 6]
  local old, number = held[session], nil
  local same_node = old and old.node == node
  local lives = same_node and old.epoch == epoch and not newer(generation, old.generation)
    and newer(old.expires, ARGV[2])
  if not (same_node and newer(old.epoch, epoch)) then
    if same_node and old.epoch == epoch then
      number = old.number
      if newer(old.generation, generation) then generation = old.generation end
      if newer(old.expires, expires) then expires = old.expires end
    else
      last = last + 1
      number = string.format('%d', last)
    end
    local entry = table.concat({node, epoch, generation, expires, number, turn, place, ARGV[i + 7]}, ' ')
    if place ~= '-' and loses_place(session, turn, place) then
      lose(session, entry)
    else
      redis.call('HSET', KEYS[1], session, entry)
      if not lives then missing[#missing + 1] = session end
      held[session] = {node = node, epoch = epoch, generation = generation, expires = expires, number = number,
                       turn = turn, place = place, text = entry}
    end
  end
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {replaced, missing}
"""
)
"""ttl_ms, now_ms, then (session, node, epoch, generation, expires_ms, turn, place, payload)…; a late one shortens no
lease. Answers (session, entry)… that lost their place, and the sessions that no reader would have found."""

TAKE_TURN = Script(
    NEWER
    + """
local turn, last = ARGV[1], redis.call('HGET', KEYS[1], '##')
if last and not newer(turn, last) then turn = string.format('%d', last + 1) end
redis.call('HSET', KEYS[1], '##', turn)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return turn
"""
)
"""now_ms, ttl_ms."""

REMOVE = Script(
    """
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and string.sub(entry, 1, #ARGV[2]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
"""
)
"""session, "node epoch " that it must be of."""

REMOVE_SEEN = Script(
    """
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
"""
)
"""(session, entry as it was read)…"""

ADVANCE = Script(
    NEWER
    + """
local newest, generation = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) (%d+)$')
if newer(ARGV[1], newest) then newest = ARGV[1] end
redis.call('SET', KEYS[1], newest .. ' ' .. generation, 'PX', ARGV[2])
return newest .. ' ' .. generation
"""
)
"""epoch, ttl_ms; answers what the node is at."""

DROP = Script(
    NEWER
    + """
local newest, generation = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) (%d+)$')
if not newer(newest, ARGV[1]) then
  redis.call('SET', KEYS[1], newest .. ' ' .. string.format('%d', generation + 1), 'PX', ARGV[2])
end
"""
)
"""epoch, ttl_ms. Older epochs than the newest are dead in any case."""
