"""Speech: from sound to the shape of the mouth."""
