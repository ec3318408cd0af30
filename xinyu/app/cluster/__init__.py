"""A process among others: where ports are served, how others are found and called, what others see of it."""
