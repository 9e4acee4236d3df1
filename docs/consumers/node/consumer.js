// Keeps each of ringback's events exactly once in a table, in order per key.
//
// The row is the event's result and the mark that it was done, so no crash can come between the two. ../README.md says why these
// columns tell a repetition from an event.

import { DatabaseSync } from 'node:sqlite'
import { Consumer, stringDeserializer } from '@platformatic/kafka'

const { BOOTSTRAP_SERVERS = 'localhost:9092', TOPIC = 'retell-events', GROUP = 'events', DATABASE = 'events.db' } = process.env
const MAX_BATCH = 500

const database = new DatabaseSync(DATABASE)
database.exec(`
  CREATE TABLE IF NOT EXISTS events (
    journal TEXT NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, time TEXT NOT NULL, key TEXT, body BLOB,
    PRIMARY KEY (journal, position), -- both are repeated by a resend of ringback
    UNIQUE (source, id)              -- both are repeated by a sender's retry
  )`)
const insert = database.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING')

// Does the work for the events that are new, all in one transaction. Returns them.
function keep(messages) {
  const fresh = []
  database.exec('BEGIN')
  try {
    for (const message of messages) {
      const { headers, key, value } = message
      const position = headers.get('ringback_position')
      if (position === undefined) {
        console.error(`not ringback's: ${message.topic}/${message.partition}@${message.offset}`)
        continue
      }
      const names = ['ce_source', 'ce_id', 'ce_type', 'ce_time']
      const [source, id, type, time] = names.map((name) => headers.get(name))
      const journal = headers.get('ringback_journal')
      const { changes } = insert.run(journal, Number(position), source, id, type, time, key ?? null, value ?? null)
      if (changes === 1) {
        // Your own statements for this event go here: they are committed with its row or not at all.
        fresh.push({ key, event: type, ce_id: id, position: Number(position) })
      }
    }
    database.exec('COMMIT')
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
  return fresh
}

const consumer = new Consumer({
  clientId: 'ringback-consumer',
  bootstrapBrokers: BOOTSTRAP_SERVERS.split(','),
  groupId: GROUP,
  sessionTimeout: 10_000, // another consumer takes over from a dead one after this
  // The body stays as it is: bytes.
  deserializers: { key: stringDeserializer, headerKey: stringDeserializer, headerValue: stringDeserializer },
})

// Commits that everything up to these messages is in the table.
async function commit(messages) {
  const next = new Map()
  for (const { topic, partition, offset, leaderEpoch } of messages) {
    next.set(partition, { topic, partition, offset: offset + 1n, leaderEpoch })
  }
  try {
    await consumer.commit({ offsets: [...next.values()] })
  } catch (error) {
    // For example a rebalance: the same events come once more, and are known by then.
    console.error('offsets not committed:', error.message)
  }
}

const stream = await consumer.consume({
  topics: [TOPIC],
  mode: 'committed',
  fallbackMode: 'earliest', // a new group begins with the oldest event
  autocommit: false, // a timer would commit what is not in the table yet
})
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => stream.close())
}

let batch = []
for await (const message of stream) {
  batch.push(message)
  // What the client has fetched already goes into the same transaction.
  if (stream.readableLength > 0 && batch.length < MAX_BATCH) continue
  for (const event of keep(batch)) console.log(JSON.stringify(event))
  await commit(batch)
  batch = []
}
await consumer.close()
database.close()
