"""Phones and Nightscouts that tell a wearer's glucose by HTTP, good ones and hostile ones."""
