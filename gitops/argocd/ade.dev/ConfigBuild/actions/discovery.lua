-- Which actions are offered, and which of them would do something now.

local status = obj.status or {}
local annotations = obj.metadata.annotations or {}
local suspended = obj.spec.suspend == true
local underway = status.phase == "Queued" or status.phase == "Building"
local active = status.active or {}

local earlier = false
for _, row in ipairs(status.history or {}) do
  if row.status == "active" and row.id ~= active.buildId then
    earlier = true
  end
end

local function action(icon, name, disabled)
  return { iconClass = "fa fa-fw " .. icon, displayName = name, disabled = disabled }
end

return {
  ["build"] = action("fa-sync", "Build if needed", suspended),
  ["rebuild"] = action("fa-hammer", "Rebuild", suspended),
  ["cancel"] = action("fa-stop-circle", "Cancel the build", not underway),
  ["activate-previous"] = action("fa-history", "Use the build before", not earlier),
  ["follow-spec"] = action(
    "fa-thumbtack",
    "Follow the spec again",
    annotations["ade.dev/activate"] == nil
  ),
  ["suspend"] = action("fa-pause-circle", "Suspend", suspended),
  ["resume"] = action("fa-play-circle", "Resume", not suspended),
}
