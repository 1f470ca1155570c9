"""The door to Kubernetes: lists, starts and follows jobs, and reads and writes ConfigMaps."""
