"""Stand-ins for what scripts use today, so that moving one over is a change of three lines."""
