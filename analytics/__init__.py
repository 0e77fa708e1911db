"""What the signals mean: energy by machine and state, condition of machines."""
