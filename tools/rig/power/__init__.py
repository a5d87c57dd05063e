"""The store's power is cut, its process killed and its disk made to fail, at every write: by us and by foreign tools."""
