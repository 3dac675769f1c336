package khaywe.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.bouncycastle.crypto.digests.Blake2bDigest;

/** What one event tells others, as JSON in the order in which it arose; ids are digests of what caused it. */
final class Effects {

    static final String SCORES = "behavior-scores", MISSIONS = "mission-progress", BADGES = "badge-awards",
        GRANTS = "reward-grants", DECISIONS = "decisions";
    private static final char[] HEX = "0123456789abcdef".toCharArray();
    private static final char SEPARATOR = 0x1f;

    record Effect(String topic, byte[] value) {
    }

    /** The comparisons a decision rests on. */
    interface Why {
        void write(JsonGenerator to) throws IOException;
    }

    static final Why NONE = to -> {
    };

    private final Rules rules;
    private final JsonFactory json = Event.JSON;
    private final ByteArrayBuilder bytes = new ByteArrayBuilder(1_024);
    private final Blake2bDigest blake = new Blake2bDigest(128);
    private final byte[] digest = new byte[16];
    private final Times times = new Times();
    private final List<Effect> found = new ArrayList<>();
    private String customerId, source, eventId;

    Effects(Rules rules) {
        this.rules = rules;
    }

    void begin(String customerId) {
        this.customerId = customerId;
        found.clear();
    }

    void cause(String source, String eventId) {
        this.source = source;
        this.eventId = eventId;
    }

    List<Effect> found() {
        return found;
    }

    String iso(long ms) {
        return times.iso(ms);
    }

    void scores(Customer c, String reason) {
        effect(c, SCORES, "scores", 0, to -> {
            to.writeStringField("as_of", iso(c.asOf));
            to.writeStringField("reason", reason);
            to.writeObjectFieldStart("scores");
            for (int n = 0; n < rules.scoreNames.length; n++) {
                to.writeNumberField(rules.scoreNames[n], c.published[n] / 100.0);
            }
            to.writeEndObject();
        });
    }

    void mission(Customer c, Customer.Mission mission, Rules.Template template, String status, String reason) {
        String rule = status.equals("progress") ? "progress:" + mission.tenths : status;
        effect(c, MISSIONS, "mission:" + template.number() + ":" + rule, 0, to -> {
            String of = customerId + SEPARATOR + "mission" + SEPARATOR + template.number();
            to.writeStringField("mission_id", hex(of + SEPARATOR + mission.started));
            to.writeNumberField("number", template.number());
            to.writeStringField("name", template.name());
            to.writeStringField("category", template.category());
            to.writeStringField("status", status);
            to.writeStringField("reason", reason);
            to.writeNumberField("progress", (double) mission.progress / template.scale());
            to.writeNumberField("target", (double) mission.target / template.scale());
            to.writeNumberField("tenths", status.equals("completed") ? 10 : mission.tenths);
            to.writeStringField("started_at", iso(mission.started * 1000));
            to.writeStringField("ends_at", iso(mission.ends * 1000));
        });
    }

    void badge(Customer c, String rule, Rules.Badge badge, int level, String reason) {
        standing(c, rule, "badge", badge.number(), badge.name(), level, badge.levels()[level - 1].name(), reason);
    }

    void tier(Customer c, int old) {
        String reason = c.tier > old ? "up" : "down";
        standing(c, "tier:" + old + ":" + c.tier, "tier", 0, "tier", c.tier, rules.tierNames[c.tier], reason);
    }

    private void standing(
        Customer c, String rule, String kind, int number, String name, int level, String levelName, String reason) {
        effect(c, BADGES, rule, 0, to -> {
            to.writeStringField("kind", kind);
            to.writeNumberField("number", number);
            to.writeStringField("name", name);
            to.writeNumberField("level", level);
            to.writeStringField("level_name", levelName);
            to.writeStringField("reason", reason);
        });
    }

    /** A grant told for the first time; its id. */
    String grant(Customer c, String rule, String kind, long points, int offer, int month, int ordinal) {
        String effectRule = "grant:" + rule + ":" + kind, id = id(effectRule, ordinal);
        effect(c, GRANTS, effectRule, ordinal, to -> granted(to, c, id, rule, kind, points, offer, month, 0));
        return id;
    }

    void repeat(Customer c, Customer.Offer offer) {
        effect(c, GRANTS, "repeat:" + offer.grantId + ":" + offer.repeats, 0,
            to -> granted(to, c, offer.grantId, offer.rule, "offer", 0, offer.offer, 0, offer.repeats));
    }

    private static void granted(
        JsonGenerator to, Customer c, String id, String rule, String kind, long points, int offer, int month,
        int repeat) throws IOException {
        to.writeStringField("grant_id", id);
        to.writeStringField("kind", kind);
        to.writeStringField("rule", rule);
        to.writeNumberField("points", points);
        to.writeNumberField("offer", offer);
        to.writeNumberField("balance", c.balance());
        to.writeNumberField("month", month);
        to.writeStringField("reverses", "");
        to.writeNumberField("repeat", repeat);
    }

    void decision(Customer c, String effectRule, String kind, String decision, String rule, String name, Why why) {
        effect(c, DECISIONS, "decision:" + effectRule, 0, to -> {
            to.writeStringField("kind", kind);
            to.writeStringField("decision", decision);
            to.writeStringField("rule", rule);
            to.writeStringField("name", name);
            to.writeBooleanField("control", false);
            to.writeArrayFieldStart("conditions");
            why.write(to);
            to.writeEndArray();
        });
    }

    /** What the comparisons of a condition saw. */
    static Why seen(List<Condition.Asked> asked, double[] features) {
        return to -> {
            for (Condition.Asked each : asked) {
                comparison(to, each.text(), features[each.feature()], each.comparison().holds(features));
            }
        };
    }

    /** Why a mission was completed. */
    static Why enough(double progress, double target) {
        String text = target == Math.rint(target) ? Long.toString((long) target) : Double.toString(target);
        return to -> comparison(to, "progress >= " + text, progress, progress >= target);
    }

    private static void comparison(JsonGenerator to, String text, double seen, boolean holds) throws IOException {
        to.writeStartObject();
        to.writeStringField("condition", text);
        if (Double.isNaN(seen)) {
            to.writeNullField("seen");
        } else {
            to.writeNumberField("seen", seen);
        }
        to.writeBooleanField("holds", holds);
        to.writeEndObject();
    }

    private void effect(Customer c, String topic, String rule, int ordinal, Why members) {
        bytes.reset();
        try (JsonGenerator to = json.createGenerator(bytes)) {
            to.writeStartObject();
            to.writeStringField("effect_id", id(rule, ordinal));
            to.writeStringField("customer_id", customerId);
            to.writeStringField("occurred_at", iso(c.asOf));
            to.writeNumberField("revision", rules.revision);
            to.writeObjectFieldStart("cause");
            to.writeStringField("source", source);
            to.writeStringField("event_id", eventId);
            to.writeEndObject();
            members.write(to);
            to.writeEndObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        found.add(new Effect(topic, bytes.toByteArray()));
    }

    private String id(String rule, int ordinal) {
        return hex(customerId + SEPARATOR + rule + SEPARATOR + rules.revision + SEPARATOR + source + SEPARATOR
            + eventId + SEPARATOR + ordinal);
    }

    private String hex(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        blake.update(bytes, 0, bytes.length);
        blake.doFinal(digest, 0);
        char[] found = new char[32];
        for (int n = 0; n < 16; n++) {
            found[2 * n] = HEX[digest[n] >> 4 & 15];
            found[2 * n + 1] = HEX[digest[n] & 15];
        }
        return new String(found);
    }
}
