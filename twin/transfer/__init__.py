"""History on the move: from one historian into another, into files and out of them, checked."""
