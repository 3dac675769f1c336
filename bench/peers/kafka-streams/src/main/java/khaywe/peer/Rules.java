package khaywe.peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The rules that bench writes, compiled when they are read. */
final class Rules {

    static final String[] KINDS = {"voice_call", "sms", "data_session"};
    static final int VOICE = 0, SMS = 1, DATA = 2;

    /** Features that calls, SMS and data move, in the order in which the game makes them. */
    static final String[] MOVED = {
        "engagement", "revenue", "loyalty", "risk", "digital", "calls_30_days", "seconds_30_days", "data_mb_30_days",
        "sms_30_days", "calls_lifetime", "seconds_lifetime", "data_mb_lifetime", "sms_lifetime", "voice_call_count",
        "sms_count", "data_session_count", "tenure_days", "days_since_last_activity", "active_days_30",
        "active_days_90", "active_streak_days", "active_weeks_12", "comebacks", "longest_absence_days",
        "points_balance", "points_earned_this_year", "points_earned_lifetime", "tier", "missions_completed",
        "missions_active", "badges_held",
    };
    /** Measures of the scores, those that calls, SMS and data move first. */
    static final List<String> MEASURES = List.of(
        "calls", "data", "sms", "recency", "tenure", "consistency", "app", "total", "recent_recharges", "arpu",
        "lifetime_value", "transactions", "on_time_payments", "churn_probability", "inactivity", "revenue_decline",
        "app_logins", "feature_use", "content_views", "web_logins");

    enum Goal { COUNT, FIRST, SUM, DISTINCT, DAYS, WEEKS, SHARE, INACTIVITY }

    record Rewards(int points, int offer, int badge, int level) {
    }

    record Level(String name, Condition condition, List<Condition.Asked> asked, Rewards rewards) {
    }

    record Badge(int number, String name, Level[] levels) {
    }

    record Component(int measure, double weight, double fullAt) {
    }

    record Template(
        int number, String name, String category, boolean onboarding, int priority, int durationDays,
        int cooldownDays, int perCustomer, int[] after, Condition eligibility, List<Condition.Asked> asked, Goal goal,
        int kinds, Condition where, int gap, int scale, int value, int baseline, int perDays, double stretch, int low,
        int high, Rewards rewards) {

        boolean has(int kind) {
            return (kinds >> kind & 1) != 0;
        }

        /** The target in smallest units. */
        long aim(double[] features) {
            if (goal == Goal.INACTIVITY) {
                return durationDays;
            }
            if (goal == Goal.FIRST) {
                return 1;
            }
            long wanted = value;
            if (wanted <= 0) {
                double level = Double.isNaN(features[baseline]) ? 0 : features[baseline];
                if (perDays > 0) {
                    level = level * durationDays / perDays;
                }
                wanted = Math.min(Math.max(liked(level * stretch), low), high);
            }
            return Math.min(wanted * scale, Customer.U4);
        }
    }

    final int revision;
    final String source;
    final Map<String, String> eventTypes = new HashMap<>();
    final String idField, customerField, typeField, valueField, timeField;
    final long graceMs;
    final String[] scoreNames;
    final Component[][] scores;
    final double[] bands;
    final double step;
    final int validMonths;
    final long[] tierPoints;
    final String[] tierNames;
    final int features;
    /** What stands in the features that nothing here moves, from the end of `MOVED` on. */
    final double[] initial;
    final Template[] templates;
    final Template[] byNumber = new Template[512];
    final Badge[] badges;
    final int[] badgePlace = new int[32];

    static Rules read(Path file) throws IOException {
        return new Rules(new ObjectMapper().readTree(file.toFile()));
    }

    private Rules(JsonNode rules) {
        revision = rules.get("revision").asInt();
        JsonNode mapping = rules.get("source");
        source = mapping.get("name").asText();
        mapping.get("event_types").properties().forEach(each -> eventTypes.put(each.getKey(), each.getValue().asText()));
        idField = mapping.get("event_id_field").asText();
        customerField = mapping.get("customer_id_field").asText();
        typeField = mapping.get("event_type_field").asText();
        valueField = mapping.get("value_field").asText();
        timeField = mapping.get("timestamp_field").asText();
        graceMs = rules.get("grace_seconds").asLong() * 1000;
        validMonths = rules.get("points_valid_months").asInt();
        step = rules.get("publish_step").asDouble() * 100;
        bands = new double[rules.get("bands").size()];
        for (int n = 0; n < bands.length; n++) {
            bands[n] = rules.get("bands").get(n).asDouble() * 100;
        }
        scoreNames = names(rules.get("scores"));
        scores = new Component[scoreNames.length][];
        for (int n = 0; n < scores.length; n++) {
            List<Component> parts = new ArrayList<>();
            for (JsonNode part : rules.get("scores").get(scoreNames[n])) {
                int measure = MEASURES.indexOf(part.get("measure").asText());
                parts.add(new Component(measure, part.get("weight").asDouble(), part.get("full_at").asDouble()));
            }
            scores[n] = parts.toArray(Component[]::new);
        }
        tierPoints = new long[rules.get("tiers").size()];
        tierNames = new String[tierPoints.length];
        for (int n = 0; n < tierPoints.length; n++) {
            tierPoints[n] = rules.get("tiers").get(n).get("points").asLong();
            tierNames[n] = rules.get("tiers").get(n).get("name").asText();
        }
        for (JsonNode earning : rules.get("earning")) {
            if (kinds(earning.get("types")) != 0) {
                throw new IllegalArgumentException("a call, an SMS or data that earns points is not covered");
            }
        }

        Map<String, Integer> index = new HashMap<>();
        for (String name : MOVED) {
            index.put(name, index.size());
        }
        for (String name : names(rules.get("features"))) {
            index.putIfAbsent(name, index.size());
        }
        features = index.size();
        initial = new double[features];
        index.forEach((name, at) -> {
            JsonNode value = rules.get("features").get(name);
            initial[at] = value.isNull() ? Double.NaN : value.asDouble();
        });

        List<Template> found = new ArrayList<>();
        for (JsonNode template : rules.get("templates")) {
            found.add(template(template, index));
        }
        found.sort(Comparator.comparingInt((Template each) -> -each.priority()).thenComparingInt(Template::number));
        templates = found.toArray(Template[]::new);
        for (Template template : templates) {
            byNumber[template.number()] = template;
        }
        badges = new Badge[rules.get("badges").size()];
        java.util.Arrays.fill(badgePlace, -1);
        for (int place = 0; place < badges.length; place++) {
            JsonNode badge = rules.get("badges").get(place);
            List<Level> levels = new ArrayList<>();
            for (JsonNode level : badge.get("levels")) {
                JsonNode condition = level.get("condition");
                levels.add(new Level(
                    level.get("name").asText(), Condition.compile(condition, index::get),
                    Condition.asked(condition, index::get), rewards(level.get("rewards"))));
            }
            badges[place] = new Badge(badge.get("number").asInt(), badge.get("name").asText(), levels.toArray(Level[]::new));
            badgePlace[badges[place].number()] = place;
        }
    }

    private static Template template(JsonNode rule, Map<String, Integer> index) {
        JsonNode goal = rule.get("goal"), target = rule.get("target");
        String name = rule.get("name").asText(), category = rule.get("category").asText();
        Goal kind = Goal.valueOf(goal.get("kind").asText().toUpperCase());
        int kinds = kinds(goal.get("types")), days = rule.get("duration_days").asInt();
        boolean byType = goal.get("distinct").asText().equals("event_type");
        if (kinds != 0 && (kind == Goal.SHARE || kind == Goal.DISTINCT && !byType)) {
            throw new IllegalArgumentException(name + ": a call has no attributes to ask for");
        }
        if ((kind == Goal.DAYS || kind == Goal.INACTIVITY) && days > 62) {
            throw new IllegalArgumentException(name + ": marks are kept for 63 days");
        }
        // A filter sees the value alone.
        Condition where = kinds == 0 || goal.get("where").isNull() ? null : Condition.compile(goal.get("where"), each -> {
            if (!each.equals("value")) {
                throw new IllegalArgumentException(name + ": a call has no attributes to ask for");
            }
            return 0;
        });
        int[] after = new int[rule.get("after").size()];
        for (int n = 0; n < after.length; n++) {
            after[n] = rule.get("after").get(n).asInt();
        }
        String baseline = target.get("baseline").asText();
        int perDays = baseline.endsWith("_30_days") ? 30 : baseline.endsWith("_90_days") ? 90 : 0;
        return new Template(
            rule.get("number").asInt(), name, category, category.equals("onboarding"), rule.get("priority").asInt(),
            days, rule.get("cooldown_days").asInt(), rule.get("per_customer").asInt(), after,
            Condition.compile(rule.get("eligibility"), index::get),
            Condition.asked(rule.get("eligibility"), index::get), kind, kinds, where, goal.get("gap").asInt(),
            goal.get("scale").asInt(), target.get("value").asInt(), index.getOrDefault(baseline, 0), perDays,
            target.get("stretch").asDouble(), target.get("low").asInt(), target.get("high").asInt(),
            rewards(rule.get("rewards")));
    }

    private static int kinds(JsonNode types) {
        int found = 0;
        for (JsonNode type : types) {
            for (int kind = 0; kind < KINDS.length; kind++) {
                found |= type.asText().equals(KINDS[kind]) ? 1 << kind : 0;
            }
        }
        return found;
    }

    private static Rewards rewards(JsonNode rule) {
        return new Rewards(
            rule.get("points").asInt(), rule.get("offer").asInt(), rule.get("badge").asInt(), rule.get("level").asInt());
    }

    private static String[] names(JsonNode object) {
        List<String> names = new ArrayList<>();
        object.fieldNames().forEachRemaining(names::add);
        return names.toArray(String[]::new);
    }

    /** Rounded to a number people like: two digits, the second a 0 or 5 from 20 on. */
    private static long liked(double x) {
        long n = Math.max(1, (long) Math.rint(Math.min(x, 1e12)));
        int digits = Long.toString(n).length();
        long step = 1;
        if (digits > 1) {
            long m = (long) Math.pow(10, digits - 2);
            step = n < 2 * (long) Math.pow(10, digits - 1) ? m : 5 * m;
        }
        return (n + step / 2) / step * step;
    }
}
