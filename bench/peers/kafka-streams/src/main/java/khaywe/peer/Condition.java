package khaywe.peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToIntFunction;

/** A condition over features, NaN being unknown: a comparison with an unknown value does not hold. */
interface Condition {

    boolean holds(double[] features);

    /** A comparison as decisions tell it. */
    record Asked(String text, int feature, Condition comparison) {
    }

    static Condition compile(JsonNode tree, ToIntFunction<String> index) {
        if (tree == null || tree.isNull()) {
            return f -> true;
        }
        if (tree.has("not")) {
            Condition part = compile(tree.get("not"), index);
            return f -> !part.holds(f);
        }
        if (tree.has("and")) {
            Condition[] parts = parts(tree.get("and"), index);
            if (parts.length == 2) {
                Condition one = parts[0], two = parts[1];
                return f -> one.holds(f) && two.holds(f);
            }
            return f -> {
                for (Condition part : parts) {
                    if (!part.holds(f)) {
                        return false;
                    }
                }
                return true;
            };
        }
        if (tree.has("or")) {
            Condition[] parts = parts(tree.get("or"), index);
            return f -> {
                for (Condition part : parts) {
                    if (part.holds(f)) {
                        return true;
                    }
                }
                return false;
            };
        }
        return comparison(tree, index.applyAsInt(tree.get("name").asText()));
    }

    private static Condition comparison(JsonNode tree, int at) {
        double[] literals = new double[tree.get("literals").size()];
        for (int n = 0; n < literals.length; n++) {
            JsonNode literal = tree.get("literals").get(n);
            // No call, SMS or data ever gives a customer a word, so none equals a literal.
            double number = literal.isBoolean() ? literal.asBoolean() ? 1 : 0 : literal.asDouble();
            literals[n] = literal.isTextual() ? Double.NaN : number;
        }
        double right = literals.length > 0 ? literals[0] : Double.NaN;
        String operator = tree.get("operator").asText();
        return switch (operator) {
            case "is known" -> f -> f[at] == f[at];
            case "is unknown" -> f -> f[at] != f[at];
            case "in" -> f -> among(f[at], literals);
            case "not in" -> f -> !among(f[at], literals);
            case "<" -> f -> f[at] < right;
            case "<=" -> f -> f[at] <= right;
            case ">" -> f -> f[at] > right;
            case ">=" -> f -> f[at] >= right;
            case "=" -> f -> f[at] == right;
            case "!=" -> f -> f[at] == f[at] && f[at] != right;
            default -> throw new IllegalArgumentException("no operator: " + operator);
        };
    }

    private static boolean among(double value, double[] literals) {
        for (double literal : literals) {
            if (value == literal) {
                return true;
            }
        }
        return false;
    }

    private static Condition[] parts(JsonNode trees, ToIntFunction<String> index) {
        Condition[] parts = new Condition[trees.size()];
        for (int n = 0; n < parts.length; n++) {
            parts[n] = compile(trees.get(n), index);
        }
        return parts;
    }

    /** The comparisons of a condition from left to right. */
    static List<Asked> asked(JsonNode tree, ToIntFunction<String> index) {
        List<Asked> found = new ArrayList<>();
        collect(tree, index, found);
        return found;
    }

    private static void collect(JsonNode tree, ToIntFunction<String> index, List<Asked> found) {
        if (tree == null || tree.isNull()) {
            return;
        }
        if (tree.has("name")) {
            int at = index.applyAsInt(tree.get("name").asText());
            found.add(new Asked(tree.get("text").asText(), at, comparison(tree, at)));
        } else if (tree.has("not")) {
            collect(tree.get("not"), index, found);
        } else {
            (tree.has("and") ? tree.get("and") : tree.get("or")).forEach(part -> collect(part, index, found));
        }
    }
}
