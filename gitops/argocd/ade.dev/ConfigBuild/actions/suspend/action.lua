-- Starts no build until `resume`. Git wins at the next sync if it says something of spec.suspend.
obj.spec.suspend = true
return obj
