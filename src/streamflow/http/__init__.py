"""What the HTTP servers of StreamFlow share: problems, API keys, caps on connections, heads and bodies."""
