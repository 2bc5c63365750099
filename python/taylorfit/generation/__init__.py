"""From structures to training sets: read, displace, describe, write."""
