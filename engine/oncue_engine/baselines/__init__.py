"""Other ways to serve speech with the same networks, behind the same door: for measurements only.

serial      one request at a time, and the delivery of what it makes
naive       the public pipeline's shape: everything of an utterance, then its audio
crossfade   what streaming ports do: chunks that know nothing of each other, faded into each other
"""
