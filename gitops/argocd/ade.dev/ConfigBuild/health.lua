-- Health of a ConfigBuild. Its conditions follow kstatus: Ready, Reconciling, Stalled.
-- Argo CD runs this without the libraries `string` and `math`.

local function condition(kind)
  if obj.status == nil or obj.status.conditions == nil then
    return nil
  end
  for _, row in ipairs(obj.status.conditions) do
    -- What was said of an earlier generation says nothing of this one.
    if row.type == kind and row.observedGeneration == obj.metadata.generation then
      return row
    end
  end
  return nil
end

local function holds(row)
  return row ~= nil and row.status == "True"
end

local function health(status, message)
  local invalid = condition("InvalidAnnotation")
  if holds(invalid) then
    message = message .. "\n" .. invalid.message
  end
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "is being deleted")
end

local ready = condition("Ready")
if ready == nil then
  return health("Progressing", "the operator has not looked at this generation yet")
end

local message = ready.reason .. ": " .. ready.message
if holds(condition("Reconciling")) then
  return health("Progressing", message)
end
if ready.status == "True" then
  -- Also where it is suspended: what is declared can be used, and later sync waves may go on.
  if obj.spec.suspend == true then
    message = message .. "\nspec.suspend is true: no other build is started"
  end
  return health("Healthy", message)
end
if not holds(condition("Stalled")) then
  return health("Progressing", message)
end
if ready.reason == "Suspended" then
  return health("Suspended", message)
end
local available = condition("Available")
if holds(available) then
  message = message .. "\n" .. available.message
end
return health("Degraded", message)
