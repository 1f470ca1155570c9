"""Stage 8: monitoring. Are the served data and predictions still fresh and correct?"""
