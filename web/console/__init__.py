"""The console: pages for loyalty managers and operators, at `/console`."""
