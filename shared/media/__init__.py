"""Media: probing, decoding, sound, timelines and the sandbox that they run in."""
