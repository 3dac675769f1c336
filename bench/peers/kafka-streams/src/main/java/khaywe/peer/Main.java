package khaywe.peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.Stores;

/**
 * Both hops as one Kafka Streams application; it runs until SIGTERM.
 *
 * Arguments: --broker HOST:PORT --raw TOPIC --prefix PREFIX --rules FILE --home DIRECTORY, and optionally --threads N
 * (1), --commit-ms N (100), --cache-mb N (256).
 */
public final class Main {

    static final String EVENTS = "customer-events", DEAD_LETTERS = "dead-letters", STORE = "customers";
    private static final String[] EFFECTS = {
        Effects.SCORES, Effects.MISSIONS, Effects.BADGES, Effects.GRANTS, Effects.DECISIONS,
    };

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int n = 0; n + 1 < arguments.length; n += 2) {
            options.put(arguments[n].substring(2), arguments[n + 1]);
        }
        Rules rules = Rules.read(Path.of(options.get("rules")));
        Topology topology = topology(rules, options.get("raw"), options.get("prefix"));
        KafkaStreams streams = new KafkaStreams(topology, settings(options));
        CountDownLatch done = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(30));
            done.countDown();
        }));
        streams.start();
        done.await();
    }

    static Topology topology(Rules rules, String raw, String prefix) {
        Topology topology = new Topology();
        StringSerializer key = new StringSerializer();
        ByteArraySerializer value = new ByteArraySerializer();
        topology.addSource("raw", new StringDeserializer(), new ByteArrayDeserializer(), raw);
        topology.addProcessor("normaliser", () -> new Normaliser(rules), "raw");
        topology.addSink(EVENTS, prefix + EVENTS, key, value, "normaliser");
        topology.addSink(DEAD_LETTERS, prefix + DEAD_LETTERS, key, value, "normaliser");
        topology.addSource("events", new StringDeserializer(), new ByteArrayDeserializer(), prefix + EVENTS);
        topology.addProcessor("fold", () -> new Customers(rules), "events");
        Serde<Customer> customer = Serdes.serdeFrom(
            (topic, each) -> each == null ? null : each.encode(),
            (topic, bytes) -> bytes == null ? null : Customer.decode(bytes, rules.badges.length));
        topology.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), customer)
                .withCachingEnabled()
                .withLoggingEnabled(Map.of("compression.type", "producer")),
            "fold");
        for (String effect : EFFECTS) {
            topology.addSink(effect, prefix + effect, key, value, "fold");
        }
        return topology;
    }

    private static Properties settings(Map<String, String> options) {
        Properties found = new Properties();
        found.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("prefix") + "kafka-streams");
        found.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("broker"));
        found.put(StreamsConfig.STATE_DIR_CONFIG, options.get("home"));
        found.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        found.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, options.getOrDefault("threads", "1"));
        found.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.getOrDefault("commit-ms", "100"));
        long cache = Long.parseLong(options.getOrDefault("cache-mb", "256")) << 20;
        found.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, cache);
        found.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // More in a poll, a fetch and a batch: a partition brings 100,000 records a second.
        found.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5_000);
        found.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5_000);
        found.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        found.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        found.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        found.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);
        found.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
        found.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
        return found;
    }
}
