package khaywe.peer;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** The second hop: an event folded into its customer, what that tells to the topics of effects. */
final class Customers implements Processor<String, byte[], String, byte[]> {

    private final Game game;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Customer> customers;

    Customers(Rules rules) {
        this.game = new Game(rules);
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.customers = context.getStateStore(Main.STORE);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        Event event;
        try {
            event = Event.read(record.value());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        Customer changed = game.fold(customers.get(record.key()), record.key(), event);
        if (changed == null) {
            return;
        }
        customers.put(record.key(), changed);
        for (Effects.Effect effect : game.effects.found()) {
            context.forward(record.withValue(effect.value()), effect.topic());
        }
    }
}
