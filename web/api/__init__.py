"""The REST API: FastAPI under /api/loyalty/v1, a process of its own."""
