"""What is shown in lists and figures: PostgreSQL tables filled from the topics, exactly once."""
