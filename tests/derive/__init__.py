"""What is made of events/message.schema.json, the one place for the message. `make docs` writes it."""
