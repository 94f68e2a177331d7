-- Ends what `activate-previous` or `ade.dev/activate` began: what is declared is used again.

if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["ade.dev/activate"] = nil
end
return obj
