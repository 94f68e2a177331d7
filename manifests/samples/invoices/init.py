"""Column rules for incoming invoices; manifest.json lists them, hooks.py has what needs code."""
