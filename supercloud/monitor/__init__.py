"""The one part that stays root: a small program that answers a fixed table of requests of the front's."""
