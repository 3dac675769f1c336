package khaywe.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.util.JsonRecyclerPools;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.RoundingMode;

/** A record of customer-events as the game takes it; `at` in ms, `value` in its canonical unit. */
record Event(String eventId, String customerId, int kind, String source, double value, long at) {

    /** Buffers are kept by thread: a stream thread reads and writes one record at a time. */
    static final JsonFactory JSON = JsonFactory.builder().recyclerPool(JsonRecyclerPools.threadLocalPool()).build();

    /** The value in smallest units, KB for data, rounded half-even as a decimal. */
    long amount() {
        int scale = kind == Rules.DATA ? 1024 : 1;
        if (value == Math.rint(value)) {
            return (long) value * scale;
        }
        return new BigDecimal(Double.toString(value)).multiply(BigDecimal.valueOf(scale))
            .setScale(0, RoundingMode.HALF_EVEN).longValue();
    }

    static Event read(byte[] bytes) throws IOException {
        String eventId = null, customerId = null, type = null, source = null, occurredAt = null;
        double value = 0;
        try (JsonParser from = JSON.createParser(bytes)) {
            from.nextToken();
            while (from.nextToken() == JsonToken.FIELD_NAME) {
                String name = from.currentName();
                from.nextToken();
                switch (name) {
                    case "event_id" -> eventId = from.getText();
                    case "customer_id" -> customerId = from.getText();
                    case "event_type" -> type = from.getText();
                    case "source" -> source = from.getText();
                    case "occurred_at" -> occurredAt = from.getText();
                    case "value" -> value = from.getDoubleValue();
                    default -> from.skipChildren();
                }
            }
        }
        int kind = 0;
        while (!Rules.KINDS[kind].equals(type)) {
            kind++;
        }
        return new Event(eventId, customerId, kind, source, value, Times.parse(occurredAt));
    }
}
