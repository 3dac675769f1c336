package khaywe.peer;

import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The game alone: customer-events on standard input, a line each; effects on standard output, topic, key, value. */
public final class Check {

    public static void main(String[] arguments) throws Exception {
        Rules rules = Rules.read(Path.of(arguments[0]));
        Game game = new Game(rules);
        Map<String, byte[]> customers = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        BufferedOutputStream to = new BufferedOutputStream(System.out, 1 << 16);
        try (PrintStream out = new PrintStream(to, false, StandardCharsets.UTF_8)) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                Event event = Event.read(line.getBytes(StandardCharsets.UTF_8));
                byte[] stored = customers.get(event.customerId());
                Customer known = stored == null ? null : Customer.decode(stored, rules.badges.length);
                Customer changed = game.fold(known, event.customerId(), event);
                if (changed == null) {
                    continue;
                }
                customers.put(event.customerId(), changed.encode());
                for (Effects.Effect effect : game.effects.found()) {
                    String value = new String(effect.value(), StandardCharsets.UTF_8);
                    out.append(effect.topic()).append('\t').append(event.customerId()).append('\t').append(value);
                    out.append('\n');
                }
            }
        }
    }
}
