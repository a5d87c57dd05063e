"""What a scenario may say: its words, its file, and what is wrong with one."""
