"""Column rules for timesheets; manifest.json lists them, hooks.py has what needs code."""
