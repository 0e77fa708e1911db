"""What a plant is: its assets, signals, lines and edges, read from plant.yaml."""
