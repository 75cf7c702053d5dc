"""All contact with ministack's inside: nothing outside this package imports it.

ministack offers no extension points, so this package replaces some of its private functions. The
names it relies on are listed in `contact.py` and checked at every start.
"""
