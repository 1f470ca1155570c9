"""The gate: may a challenger replace the champion?"""
