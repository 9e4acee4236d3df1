import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Keeps each of ringback's events exactly once in a table, in order per key.
 *
 * <p>The row is the event's result and the mark that it was done, so no crash can come between the two. ../README.md says why these
 * columns tell a repetition from an event.
 */
public final class EventConsumer {
    private static final String TABLE = """
            CREATE TABLE IF NOT EXISTS events (
                journal TEXT NOT NULL, position INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
                type TEXT NOT NULL, time TEXT NOT NULL, key TEXT, body BLOB,
                PRIMARY KEY (journal, position), -- both are repeated by a resend of ringback
                UNIQUE (source, id)              -- both are repeated by a sender's retry
            )""";
    private static final String INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";

    /** A header's text; null if there is no such header. */
    private static String header(ConsumerRecord<String, byte[]> record, String name) {
        var header = record.headers().lastHeader(name);
        return header == null ? null : new String(header.value(), StandardCharsets.UTF_8);
    }

    /** Does the work for the events that are new, all in one transaction. Returns their records. */
    private static List<ConsumerRecord<String, byte[]>> keep(
            Connection database, PreparedStatement insert, Iterable<ConsumerRecord<String, byte[]>> records)
            throws SQLException {
        var fresh = new ArrayList<ConsumerRecord<String, byte[]>>();
        for (var record : records) {
            String position = header(record, "ringback_position");
            if (position == null) {
                System.err.printf("not ringback's: %s-%d@%d%n", record.topic(), record.partition(), record.offset());
                continue;
            }
            insert.setString(1, header(record, "ringback_journal"));
            insert.setLong(2, Long.parseLong(position));
            insert.setString(3, header(record, "ce_source"));
            insert.setString(4, header(record, "ce_id"));
            insert.setString(5, header(record, "ce_type"));
            insert.setString(6, header(record, "ce_time"));
            insert.setString(7, record.key());
            insert.setBytes(8, record.value());
            if (insert.executeUpdate() == 1) {
                // Your own statements for this event go here: they are committed with its row or not at all.
                fresh.add(record);
            }
        }
        database.commit();
        return fresh;
    }

    private static void run(Connection database, KafkaConsumer<String, byte[]> consumer) throws SQLException {
        try (var statement = database.createStatement()) {
            statement.execute(TABLE);
        }
        database.setAutoCommit(false);
        try (var insert = database.prepareStatement(INSERT)) {
            while (true) {
                // An exception of the database ends the process: nothing is committed to Kafka, so nothing is lost.
                for (var record : keep(database, insert, consumer.poll(Duration.ofSeconds(1)))) {
                    System.out.printf("%s %s %s%n", record.key(), header(record, "ce_type"), header(record, "ce_id"));
                }
                try {
                    consumer.commitSync();
                } catch (CommitFailedException | RebalanceInProgressException | TimeoutException error) {
                    // The same events come once more, and are known by then.
                    System.err.println("offsets not committed: " + error.getMessage());
                }
            }
        } catch (WakeupException stopped) {
            // After SIGTERM or SIGINT, between two batches or at the end of one whose offsets are not committed.
        }
    }

    public static void main(String[] arguments) throws SQLException {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", env("BOOTSTRAP_SERVERS", "localhost:9092"),
                "group.id", env("GROUP", "events"),
                "auto.offset.reset", "earliest", // a new group begins with the oldest event
                "enable.auto.commit", false, // a timer would commit what is not in the table yet
                "session.timeout.ms", 10_000); // another consumer takes over from a dead one after this
        try (var database = DriverManager.getConnection("jdbc:sqlite:" + env("DATABASE", "events.db"));
                var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(env("TOPIC", "retell-events")));
            var main = Thread.currentThread();
            // The JVM ends when its hooks have, so this one waits until the consumer has left its group.
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                consumer.wakeup();
                try {
                    main.join();
                } catch (InterruptedException error) {
                    Thread.currentThread().interrupt();
                }
            }));
            run(database, consumer);
        }
    }

    private static String env(String name, String fallback) {
        return System.getenv().getOrDefault(name, fallback);
    }
}
