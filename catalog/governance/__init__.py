"""Who may do what in the catalog, and who did it: users, keys, drafts, the audit log, secrets."""
