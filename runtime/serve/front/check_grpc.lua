-- Reads every gRPC message whole before Triton does, so that its size is bounded; a message that must be unpacked is refused.

local byte, sub = string.byte, string.sub

local function refuse(handle, status, fault)
  handle:respond({
    [":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = status, ["grpc-message"] = fault,
  }, "")
end

local UNIMPLEMENTED, INTERNAL, INVALID_ARGUMENT = "12", "13", "3"

-- The status and the fault of a body, or nil.
local function check_body(body)
  if not body or body:length() < 5 then return INVALID_ARGUMENT, "there is no message" end
  local flag, a, b, c, d = byte(body:getBytes(0, 5), 1, 5)
  if flag ~= 0 then return UNIMPLEMENTED, "the message is compressed; send it as it is" end
  if ((a * 256 + b) * 256 + c) * 256 + d ~= body:length() - 5 then
    return INVALID_ARGUMENT, "there is not exactly one message"
  end
  return nil
end

function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  if sub(path, -17) == "/ModelStreamInfer" then
    return refuse(handle, UNIMPLEMENTED, "streams are not served; send ModelInfer requests")
  end
  local whole, status, fault = pcall(check_body, handle:body())  -- Envoy passes a request on whose check fails
  if not whole then return refuse(handle, INTERNAL, "the request could not be checked") end
  if status then refuse(handle, status, fault) end
end
