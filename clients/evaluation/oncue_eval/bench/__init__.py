"""`oncue bench`: how soon, how steadily and for how many a server speaks, measured by a client over loopback."""
