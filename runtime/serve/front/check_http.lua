-- Reads the JSON of every request before Triton does. Triton parses JSON by recursion, so nesting must end early; and it makes room for
-- the numbers that "shape" announces before it reads them, so all shapes together must not announce more numbers than the body has bytes.
-- What this file takes for the text of a string is what a parser of JSON takes for it; whether it is JSON at all is Triton's concern.
-- Loops over bytes are compiled; string.find with a pattern takes 16 times as long.

local DEPTH = 32      -- a request needs 3 and the rank of its largest tensor
local OBJECTS = 1024  -- Triton needs seconds for 100,000 of them
local RANK = 32

local byte, find, format, sub = string.byte, string.find, string.format, string.sub

-- The index of the next byte that is not white space.
local function skip_space(text, at)
  local c = byte(text, at)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    at = at + 1
    c = byte(text, at)
  end
  return at
end

-- The product of the array of whole numbers that begins at `at`, and the index behind it; nil and a fault for another array.
local function read_shape(text, at, most)
  local product, rank = 1, 0
  at = skip_space(text, at + 1)
  if byte(text, at) == 93 then return 1, at + 1 end
  while true do
    local _, stop, digits = find(text, "^(%d+)", at)
    if not digits then return nil, "shape has a value that is not a whole number from 0 on" end
    local size = tonumber(digits)
    product, rank = product * size, rank + 1
    if size > most or product > most then return nil, format("shape announces more numbers than the request has bytes (%d)", most) end
    if rank > RANK then return nil, format("shape has more than %d axes", RANK) end
    at = skip_space(text, stop + 1)
    local c = byte(text, at)
    if c == 93 then return product, at + 1 end
    if c ~= 44 then return nil, "shape has a value that is not a whole number from 0 on" end
    at = skip_space(text, at + 1)
  end
end

-- The index of the quotation mark that ends the string whose text begins at `at`, or nil; and whether the text has an escape.
local function string_end(text, at)
  local escaped = false
  for _ = at, #text do
    local c = byte(text, at)
    if c == 34 then return at, escaped end
    if c == 92 then escaped, at = true, at + 1 end
    at = at + 1
  end
  return nil, escaped
end

-- The fault of a request in JSON whose body has `size` bytes, or nil.
local function check_json(text, size)
  local depth, objects, announced, at = 0, 0, 0, 1
  while at <= #text do
    local c = byte(text, at)
    if c == 34 then
      local first, stop, escaped = at + 1, string_end(text, at + 1)
      if not stop then return "a string does not end" end
      at = stop
      local colon = skip_space(text, at + 1)
      if byte(text, colon) == 58 then  -- the string is a name
        if escaped then return "a name in the JSON has an escape" end
        local value = skip_space(text, colon + 1)
        if sub(text, first, stop - 1) == "shape" and byte(text, value) == 91 then
          local product, behind = read_shape(text, value, size - announced)
          if not product then return behind end
          announced, at = announced + product, behind - 1
        end
      end
    elseif c == 91 or c == 123 then
      depth = depth + 1
      if depth > DEPTH then return format("the JSON is nested deeper than %d", DEPTH) end
      if c == 123 then objects = objects + 1 end
      if objects > OBJECTS then return format("the JSON has more than %d objects", OBJECTS) end
    elseif c == 93 or c == 125 then
      depth = depth - 1
      if depth < 0 then return "the JSON closes more than it opens" end
    end
    at = at + 1
  end
  return nil
end

-- The fault of a body, or nil. Only the call infer has binary data behind its JSON, whose length is in a header.
local function check_body(body, path, length)
  local size = body:length()
  if not length or sub(path, -6) ~= "/infer" then
    length = size
  elseif find(length, "^%d+$") and #length <= 15 and tonumber(length) <= size then
    length = tonumber(length)
  else
    return "inference-header-content-length is not the length of a part of the body"
  end
  if length == 0 then return nil end
  return check_json(body:getBytes(0, length), size)
end

local function refuse(handle, status, fault)
  handle:respond({ [":status"] = status }, fault)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local encoding = headers:get("content-encoding")
  if encoding and encoding ~= "identity" then
    return refuse(handle, "415", "the content encoding is not gzip")  -- gzip is unpacked by now
  end
  local path = string.match(headers:get(":path"), "^[^?]*")
  local length = headers:get("inference-header-content-length")
  local body = handle:body()  -- waits for all of it; from here on `headers` is no longer valid
  if not body then return end
  local whole, fault = pcall(check_body, body, path, length)  -- Envoy passes a request on whose check fails
  if not whole then return refuse(handle, "500", "the request could not be checked") end
  if fault then refuse(handle, "400", fault) end
end
