"""The shared language of Kaikou's rooms: model < flow < wire < outbox.

A room imports this package and no other room. Within it the layers import downwards only.
"""
