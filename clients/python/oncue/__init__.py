"""Speech, on cue: the client."""
