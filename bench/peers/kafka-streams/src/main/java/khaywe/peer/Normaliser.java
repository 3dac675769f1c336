package khaywe.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;
import java.time.DateTimeException;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** The first hop: a raw CDR to a CustomerEvent by the source's mapping; what does not fit is a dead letter. */
final class Normaliser implements Processor<String, byte[], String, byte[]> {

    private static final long DAY_MS = Customer.DAY_MS;

    private final Rules rules;
    private final JsonFactory json = Event.JSON;
    private final ByteArrayBuilder bytes = new ByteArrayBuilder(1_024);
    private final Times times = new Times();
    private ProcessorContext<String, byte[]> context;

    Normaliser(Rules rules) {
        this.rules = rules;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
    }

    @Override
    public void process(Record<String, byte[]> record) {
        String eventId = null, customerId = null, code = null, at = null;
        double value = Double.NaN;
        try {
            try (JsonParser from = json.createParser(record.value())) {
                from.nextToken();
                while (from.nextToken() == JsonToken.FIELD_NAME) {
                    String name = from.currentName();
                    JsonToken token = from.nextToken();
                    if (name.equals(rules.idField)) {
                        eventId = from.getText();
                    } else if (name.equals(rules.customerField)) {
                        customerId = from.getText();
                    } else if (name.equals(rules.typeField)) {
                        code = from.getText();
                    } else if (name.equals(rules.timeField)) {
                        at = from.getText();
                    } else if (name.equals(rules.valueField)) {
                        value = token.isNumeric() ? from.getDoubleValue() : Double.NaN;
                    } else {
                        from.skipChildren();
                    }
                }
            }
            String type = rules.eventTypes.get(code);
            boolean whole = eventId != null && customerId != null && !customerId.isEmpty() && type != null && at != null;
            if (!whole || !(value >= 0)) {
                throw new IllegalArgumentException("a member is missing or of another kind");
            }
            long ms = Times.parse(at);
            if (ms - record.timestamp() > DAY_MS) {
                throw new IllegalArgumentException("later than its arrival");
            }
            byte[] event = event(eventId, customerId, type, value, ms, record.timestamp());
            context.forward(new Record<>(customerId, event, record.timestamp()), Main.EVENTS);
        } catch (IOException | IllegalArgumentException | DateTimeException unfit) {
            context.forward(record.withValue(unfit.getMessage().getBytes()), Main.DEAD_LETTERS);
        }
    }

    private byte[] event(String eventId, String customerId, String type, double value, long at, long timestamp)
        throws IOException {
        bytes.reset();
        try (JsonGenerator to = json.createGenerator(bytes)) {
            to.writeStartObject();
            to.writeStringField("event_id", eventId);
            to.writeStringField("customer_id", customerId);
            to.writeStringField("event_type", type);
            to.writeStringField("source", rules.source);
            to.writeNumberField("value", value);
            to.writeStringField("occurred_at", times.iso(at));
            to.writeStringField("received_at", times.iso(timestamp));
            to.writeEndObject();
        }
        return bytes.toByteArray();
    }
}
