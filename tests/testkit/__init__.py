"""What tests of every kind share: `from testkit.clock import ManualClock` (tests/ is on pytest's path)."""
