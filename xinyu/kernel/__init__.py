"""What every floor may use: ports, errors, identifiers, clocks. A closed list; imports nothing of xinyu."""
