"""A transport that records what a protocol of asyncio writes."""


class Transport:
    """Records what is written; nothing is sent."""

    def __init__(self):
        self.written = b""
        self.closed = False

    def write(self, data):
        assert not self.closed
        self.written += data

    def close(self):
        self.closed = True

    abort = close

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name):
        return None

    def pause_reading(self):
        """Nothing reads."""

    resume_reading = pause_reading
