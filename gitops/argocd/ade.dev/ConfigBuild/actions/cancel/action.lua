-- Ends the build that waits or runs.
local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- A token: letters, digits, - and :, another one each second.
obj.metadata.annotations["ade.dev/cancel"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
