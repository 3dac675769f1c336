"""A real Kafka broker and a real PostgreSQL on this machine, from Python packages and checked jars alone.

`services.up`, `services.down` and `services.status` are what others call.
"""
