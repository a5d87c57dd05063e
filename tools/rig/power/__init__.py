"""The power is cut, the process killed and the disk made to fail, at every write of the store."""
