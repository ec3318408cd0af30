"""What a simulated cluster stands on in place of a machine: its time, its chance, its network, its engines."""
