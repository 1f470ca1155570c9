"""Quality of the served model: estimated before labels are known, and realized once they are."""
