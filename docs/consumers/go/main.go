// Command consumer keeps each of ringback's events exactly once in a table, in order per key.
//
// The row is the event's result and the mark that it was done, so no crash can come between the two. ../README.md says why these
// columns tell a repetition from an event.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"
)

const table = `
CREATE TABLE IF NOT EXISTS events (
    journal TEXT NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    type TEXT NOT NULL, time TEXT NOT NULL, key TEXT, body BLOB,
    PRIMARY KEY (journal, position), -- both are repeated by a resend of ringback
    UNIQUE (source, id)              -- both are repeated by a sender's retry
)`

const insert = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"

// event is what the program prints of a new event.
type event struct {
	Key      *string `json:"key"`
	Type     string  `json:"event"`
	ID       string  `json:"ce_id"`
	Position int64   `json:"position"`
}

// keep does the work for the events that are new, all in one transaction, and returns them.
func keep(database *sql.DB, records []*kgo.Record) ([]event, error) {
	transaction, err := database.Begin()
	if err != nil {
		return nil, err
	}
	defer transaction.Rollback() // does nothing after the commit
	var fresh []event
	for _, record := range records {
		headers := map[string]string{}
		for _, header := range record.Headers {
			headers[header.Key] = string(header.Value)
		}
		if _, found := headers["ringback_position"]; !found {
			log.Printf("not ringback's: %s/%d@%d", record.Topic, record.Partition, record.Offset)
			continue
		}
		position, err := strconv.ParseInt(headers["ringback_position"], 10, 64)
		if err != nil {
			return nil, err
		}
		e := event{Type: headers["ce_type"], ID: headers["ce_id"], Position: position}
		if record.Key != nil { // an event without a key has a null one
			key := string(record.Key)
			e.Key = &key
		}
		result, err := transaction.Exec(insert, headers["ringback_journal"], position, headers["ce_source"], e.ID, e.Type,
			headers["ce_time"], e.Key, record.Value)
		if err != nil {
			return nil, err
		}
		if rows, err := result.RowsAffected(); err != nil {
			return nil, err
		} else if rows == 1 {
			// Your own statements for this event go here: they are committed with its row or not at all.
			fresh = append(fresh, e)
		}
	}
	return fresh, transaction.Commit()
}

func run(ctx context.Context) error {
	database, err := sql.Open("sqlite", env("DATABASE", "events.db"))
	if err != nil {
		return err
	}
	defer database.Close()
	if _, err := database.Exec(table); err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(env("BOOTSTRAP_SERVERS", "localhost:9092"), ",")...),
		kgo.ConsumerGroup(env("GROUP", "events")),
		kgo.ConsumeTopics(env("TOPIC", "retell-events")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // a new group begins with the oldest event
		kgo.DisableAutoCommit(),                           // a timer would commit what is not in the table yet
		kgo.BlockRebalanceOnPoll(),                        // no partition moves while its events are being kept
		kgo.SessionTimeout(10*time.Second),                // another consumer takes over from a dead one after this
	)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollRecords(ctx, 500)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachError(func(topic string, partition int32, err error) { // the client tries again
			log.Printf("%s/%d: %v", topic, partition, err)
		})
		records := fetches.Records()
		fresh, err := keep(database, records)
		if err != nil {
			return err
		}
		for _, e := range fresh {
			line, _ := json.Marshal(e) // strings and a number: it cannot fail
			fmt.Println(string(line))
		}
		// After a signal too. A commit fails for example after a rebalance: the same events come once more, and are known by then.
		commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		if err := client.CommitRecords(commit, records...); err != nil {
			log.Printf("offsets not committed: %v", err)
		}
		cancel()
		client.AllowRebalance()
	}
}

func env(name, fallback string) string {
	if value, found := os.LookupEnv(name); found {
		return value
	}
	return fallback
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}
