"""From training sets to potentials: prepare, pack, losses, optimisers, the epoch loop."""
