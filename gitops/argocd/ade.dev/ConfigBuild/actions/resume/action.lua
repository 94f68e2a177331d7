-- Removes the field, so that the object is what Git declares.
obj.spec.suspend = nil
return obj
