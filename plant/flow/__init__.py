"""What flows: samples in columns, their status, the clocks, the channels they travel in."""
