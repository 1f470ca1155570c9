"""Stage 8: is what we serve still right?"""
