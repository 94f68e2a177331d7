-- Makes a new build, whatever stands.
local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- A token: letters, digits, - and :, another one each second.
obj.metadata.annotations["ade.dev/force"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
