"""Physical systems: functions drawn from a space, operators that solve for an answer, formulas that a user types."""
