"""What a user may ask for, and the keyword files in which it is asked."""
