-- Makes the newest earlier build that was verified the active one. It stands until `follow-spec`,
-- or until the spec changes.

local active = (obj.status or {}).active or {}
for _, row in ipairs((obj.status or {}).history or {}) do
  if row.status == "active" and row.id ~= active.buildId then
    if obj.metadata.annotations == nil then
      obj.metadata.annotations = {}
    end
    obj.metadata.annotations["ade.dev/activate"] = row.id
    return obj
  end
end
error("status.history names no earlier build that was verified")
