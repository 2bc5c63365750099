"""What everything speaks of: structures, descriptors, networks, training sets, scaling; plain frozen values."""
