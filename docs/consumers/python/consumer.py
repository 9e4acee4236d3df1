"""Keeps each of ringback's events exactly once in a table, in order per key.

The row is the event's result and the mark that it was done, so no crash can come between the two. ../README.md says why these
columns tell a repetition from an event.
"""

import json
import os
import signal
import sqlite3
import sys

from confluent_kafka import Consumer, KafkaException

TABLE = """
CREATE TABLE IF NOT EXISTS events (
    journal TEXT NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, time TEXT NOT NULL, key TEXT, body BLOB,
    PRIMARY KEY (journal, position), -- both are repeated by a resend of ringback
    UNIQUE (source, id)              -- both are repeated by a sender's retry
)"""
INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


def row(message):
    """The record as a row of the table; None if ringback did not write it."""
    headers = dict(message.headers() or [])
    if "ringback_position" not in headers:
        return None
    names = "ringback_journal", "ringback_position", "ce_source", "ce_id", "ce_type", "ce_time"
    journal, position, *others = (headers[name].decode() for name in names)
    key = message.key()
    return journal, int(position), *others, key if key is None else key.decode(), message.value()


def keep(database, messages):
    """Does the work for the events that are new, all in one transaction. Returns their rows."""
    new = []
    with database:  # commits at the end, and rolls back if anything fails
        for message in messages:
            event = row(message)
            if event is None:
                print(f"not ringback's: {message.topic()}/{message.partition()}@{message.offset()}", file=sys.stderr)
            elif database.execute(INSERT, event).rowcount == 1:
                # Your own statements for this event go here: they are committed with its row or not at all.
                new.append(event)
    return new


def main():
    database = sqlite3.connect(os.environ.get("DATABASE", "events.db"))
    database.execute(TABLE)

    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092"),
            "group.id": os.environ.get("GROUP", "events"),
            "auto.offset.reset": "earliest",  # a new group begins with the oldest event
            "enable.auto.commit": False,  # a timer would commit what is not in the table yet
            "session.timeout.ms": 10_000,  # another consumer takes over from a dead one after this
        }
    )
    stop = False

    def on_signal(*_):
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)

    consumer.subscribe([os.environ.get("TOPIC", "retell-events")])
    while not stop:
        messages = []
        for message in consumer.consume(num_messages=500, timeout=0.2):
            if message.error() is None:
                messages.append(message)
            elif message.error().fatal():
                raise KafkaException(message.error())
            else:  # the client tries again: a broker that is away, a leader that moves
                print(message.error(), file=sys.stderr)
        if not messages:
            continue
        for _, position, _, event_id, kind, _, key, _ in keep(database, messages):
            print(json.dumps({"key": key, "event": kind, "ce_id": event_id, "position": position}), flush=True)
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:  # for example a rebalance: the same events come once more, and are known by then
            print(f"offsets not committed: {error}", file=sys.stderr)
    consumer.close()


if __name__ == "__main__":
    main()
