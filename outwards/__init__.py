"""Change notification outwards: subscriptions of the operator's systems, and what delivers to them."""
